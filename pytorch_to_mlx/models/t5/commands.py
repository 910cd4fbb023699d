"""What MADLAD-400 and T5 add to the command line: `translate` and `languages`."""

from pathlib import Path
from typing import Any

from .card import CARD


def translate(
    what: str | None = None,
    /,
    *,
    text: str | None = None,
    file: Path | None = None,
    output: Path | None = None,
    tgt: str | None = None,
    prefix: str = "",
    beam_size: int | None = None,
    n_best: int = 1,
    length_penalty: float | None = None,
    no_repeat_ngram_size: int | None = None,
    repetition_penalty: float | None = None,
    max_tokens: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    split: bool = True,
    batch_size: int = 16,
    stream: bool = False,
    force: bool = False,
    model: str | None = None,
    revision: str | None = None,
) -> Any:
    """Translate a text, or a whole file (.txt, .srt).

    The text is an argument, or what comes through a pipe, or --text, or --file. Line breaks stay where they are, and so
    do placeholders such as {{name}}, %s and <b>. A file that was not finished is gone on with.

    Args:
        what: the text, or - for stdin
        file: file to translate, or - for stdin; --output is then needed
        output: file to write; - is stdout
        tgt: language to translate into: a code such as fr, or its English name; for MADLAD-400
        prefix: words before every sentence, such as "translate English to German: "; for T5 and FLAN
        beam_size: hypotheses kept by beam search; 1 is greedy; by default as the model's own settings say
        n_best: translations of each sentence to show, with their scores
        length_penalty: above 0 beam search prefers longer translations
        no_repeat_ngram_size: no sequence of so many tokens occurs twice; 3 ends loops
        repetition_penalty: above 1 makes tokens less likely that have been used
        max_tokens: cut a sentence's translation off after this many tokens
        temperature: above 0 the translation is drawn at random
        split: cut the text into sentences first; without it only at line breaks
        batch_size: sentences to translate together
        stream: show the words as soon as they are ready
        force: replace the output if it exists

    Example: pytorch-to-mlx madlad translate --text "How are you?" --tgt fr
    """
    from ...checkpoint import locate
    from ...checkpoint.names import default_source
    from ...generate.translate_files import run_translate

    options = {
        "tgt": tgt, "prefix": prefix, "beam_size": beam_size, "n_best": n_best, "length_penalty": length_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size, "repetition_penalty": repetition_penalty,
        "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "split": split, "batch_size": batch_size,
    }  # fmt: skip

    def load_pipeline() -> Any:
        from .pipeline import load

        return load(locate(model, (CARD,), revision=revision).path)

    return run_translate(
        load_pipeline, what, text, file=file, output=output, stream=stream, force=force,
        model=f"{model or default_source(CARD)}@{revision}", options=options,
    )  # fmt: skip


def languages(*, model: str | None = None) -> list[dict[str, str]]:
    """List the languages of MADLAD-400 by their codes, or those that --model has tags for.

    Example: pytorch-to-mlx madlad languages
    """
    from ...checkpoint import locate
    from .languages import NAMES

    if model is None:
        return [{"code": code, "name": name} for code, name in NAMES.items()]
    from .pipeline import load

    known = load(locate(model, (CARD,)).path).languages
    return [{"code": code, "name": NAMES.get(code, "")} for code in known]
