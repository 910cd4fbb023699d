"""What the Marian translators add to the command line: `translate`."""

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
    shortlist: bool = False,
    normalize: str | None = None,
    stream: bool = False,
    force: bool = False,
    model: str | None = None,
    revision: str | None = None,
) -> Any:
    """Translate a text, or a whole file (.txt, .srt).

    The text is an argument, or what comes through a pipe, or --text, or --file. Line breaks stay where they are, and so
    do placeholders such as {{name}}, %s and <b>. By default English to Portuguese, from installed weights; --model
    pt-en for the other way, or de-en, en-fr, … A file that was not finished is gone on with.

    Args:
        what: the text, or - for stdin
        file: file to translate, or - for stdin; --output is then needed
        output: file to write; - is stdout
        tgt: target language, of a model that has several
        beam_size: hypotheses kept by beam search; 1 is greedy; by default as the model's own settings say
        n_best: translations of each sentence to show, with their scores
        length_penalty: above 0 beam search prefers longer translations
        no_repeat_ngram_size: no sequence of so many tokens occurs twice; 3 ends loops
        repetition_penalty: above 1 makes tokens less likely that have been used
        max_tokens: cut a sentence's translation off after this many tokens
        temperature: above 0 the translation is drawn at random
        split: cut the text into sentences first; without it only at line breaks
        batch_size: sentences to translate together
        shortlist: choose among the likely words only, where the model has such a list: faster
        normalize: moses reads curly quotes, dashes and the like as plain ones, which OPUS-MT was trained on; moses:fr
            by the rules of a language
        stream: show the words as soon as they are ready
        force: replace the output if it exists

    Example: pytorch-to-mlx opus-mt translate --text "How are you today?"
    """
    from ...checkpoint import locate
    from ...checkpoint.names import default_source
    from ...generate.translate_files import run_translate

    options = {
        "tgt": tgt, "beam_size": beam_size, "n_best": n_best, "length_penalty": length_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size, "repetition_penalty": repetition_penalty,
        "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "split": split, "batch_size": batch_size,
        "shortlist": shortlist, "normalize": normalize,
    }  # fmt: skip

    def load_pipeline() -> Any:
        from .pipeline import load

        return load(locate(model, (CARD,), revision=revision).path)

    return run_translate(
        load_pipeline, what, text, file=file, output=output, stream=stream, force=force,
        model=f"{model or default_source(CARD)}@{revision}", options=options,
    )  # fmt: skip
