"""What NLLB-200 and M2M100 add to the command line: `translate` and `languages`."""

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
    src: str,
    tgt: str,
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
    legacy: bool = False,
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
        src: language of the text: a code such as eng_Latn, or its English name
        tgt: language to translate into
        beam_size: hypotheses kept by beam search; 1 is greedy; by default as the model's own settings say
        n_best: translations of each sentence to show, with their scores
        length_penalty: above 0 beam search prefers longer translations
        no_repeat_ngram_size: no sequence of so many tokens occurs twice; 3 ends loops
        repetition_penalty: above 1 makes tokens less likely that have been used
        max_tokens: cut a sentence's translation off after this many tokens
        temperature: above 0 the translation is drawn at random
        split: cut the text into sentences first; without it only at line breaks
        batch_size: sentences to translate together
        legacy: put the language behind the text, as NLLB did before 2023
        stream: show the words as soon as they are ready
        force: replace the output if it exists

    Example: pytorch-to-mlx nllb translate --text "How are you?" --src eng_Latn --tgt fra_Latn
    """
    from ...checkpoint import locate
    from ...checkpoint.names import default_source
    from ...generate.translate_files import run_translate

    options = {
        "src": src, "tgt": tgt, "beam_size": beam_size, "n_best": n_best, "length_penalty": length_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size, "repetition_penalty": repetition_penalty,
        "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "split": split, "batch_size": batch_size,
        "legacy": legacy or None,
    }  # fmt: skip

    def load_pipeline() -> Any:
        from .pipeline import load

        return load(locate(model, (CARD,), revision=revision).path)

    return run_translate(
        load_pipeline, what, text, file=file, output=output, stream=stream, force=force,
        model=f"{model or default_source(CARD)}@{revision}", options=options,
    )  # fmt: skip


def languages(*, model: str | None = None) -> list[dict[str, str]]:
    """List the 202 languages of NLLB-200 with names and scripts, or those of --model.

    Example: pytorch-to-mlx nllb languages
    """
    from ...checkpoint import locate
    from .languages import NLLB

    rows = [language._asdict() for language in NLLB]
    if model is None:
        return rows
    from .pipeline import load

    known = load(locate(model, (CARD,)).path).languages
    named = {row["code"]: row for row in rows}
    return [named.get(code, {"code": code}) for code in known]
