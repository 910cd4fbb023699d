"""Translate texts with any encoder-decoder: sentences, batches, placeholders and flags are the same for all of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UsageError
from ..progress import note, track
from ..tasks import Candidate, TranslatedSentence, Translation
from ..text.placeholders import around, came_through, placeholders
from ..text.sentences import MAX_WORD, Part, fit, is_long_word, repeats, split_sentences
from ..units import count_text
from .options import GenerationOptions
from .search import Steps, generate, generate_tokens

MAX_TEXT = 10_000_000  # characters
BATCH_SIZE = 16


@dataclass(frozen=True)
class Engine:
    """One direction of a translator.

    encode: text to the ids that the encoder reads. decode: generated ids, without the end token, to text. start: the
    decoder over some sources before its first step. prompt: what the decoder starts with. max_source, max_target: the
    tokens that encoder and decoder can hold. options: the checkpoint's own. unknown: the id of what the vocabulary
    does not have, if there is one.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    start: Callable[[Sequence[Sequence[int]]], Steps]
    prompt: tuple[int, ...]
    max_source: int
    max_target: int
    options: GenerationOptions
    src: str = ""
    tgt: str = ""
    unknown: int | None = None


@dataclass(frozen=True)
class TranslateOptions:
    """How a text is cut and searched. beam_size, n_best, temperature: in place of num_beams, num_return_sequences and,
    above 0, sampling; None leaves what the checkpoint has. split: cut into sentences. batch_size: sentences together.

    Raises: UsageError for values out of range.
    """

    split: bool = True
    batch_size: int = BATCH_SIZE
    beam_size: int | None = None
    n_best: int = 1
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_size", 1, 1000),
            ("beam_size", 1, 1000),
            ("n_best", 1, 1000),
            ("temperature", 0, 1000),
            ("seed", 0, 1 << 64),
        ):
            value, kind = getattr(self, name), int | float if name == "temperature" else int
            if value is not None and (not isinstance(value, kind) or not low <= value <= high):
                raise UsageError(f"{name} is {value!r:.40}", fix=f"use {low} to {high}")

    def search(self, engine: Engine, options: dict[str, Any]) -> GenerationOptions:
        """Return the options of the search. options: more, under transformers' names."""
        beams = self.beam_size if self.beam_size is not None else options.get("num_beams", engine.options.num_beams)
        sampling = self.temperature > 0
        values: dict[str, Any] = {
            "num_beams": max(beams, 1 if sampling else self.n_best) if isinstance(beams, int) else beams,
            "num_return_sequences": self.n_best,
            "max_new_tokens": self.max_tokens,
        }
        if sampling:
            values |= {"do_sample": True, "temperature": self.temperature}
        return engine.options.changed({**values, **{name: v for name, v in options.items() if name != "num_beams"}})


_NAMES = frozenset(TranslateOptions.__dataclass_fields__)


def translate_texts(engine: Engine, texts: Sequence[str], **options: Any) -> list[Translation]:
    """Translate texts, all their sentences in batches by length. options: TranslateOptions and GenerationOptions.

    Raises: UsageError for options out of range, and for a text of more than MAX_TEXT characters.
    """
    settings = TranslateOptions(**{name: value for name, value in options.items() if name in _NAMES})
    search = settings.search(engine, {name: value for name, value in options.items() if name not in _NAMES})
    cleaned = [_checked(text) for text in texts]
    parts = [_parts(engine, text, settings.split) for text in cleaned]
    n_long = sum(is_long_word(part) for group in parts for part in group)
    if n_long:
        words = count_text(n_long, "word is", "words are")
        note(f"warning: {words} longer than {MAX_WORD} characters and not translated")
    sentences = [part.text for group in parts for part in group if part.is_sentence]
    translated = iter(_translate_sentences(engine, sentences, search, settings))
    results = []
    for text, group in zip(cleaned, parts, strict=True):
        done: list[TranslatedSentence] = []
        for part in group:
            done += next(translated) if part.is_sentence else [TranslatedSentence(part.text)]
        joined = "".join(sentence.text for sentence in done)
        results.append(Translation(joined, text, engine.src, engine.tgt, tuple(done)))
    _warn(results)
    return results


def translate_each(
    engine_of: Callable[[str], Engine], named: Sequence[tuple[str, str]], **options: Any
) -> list[Translation]:
    """Translate (language, text) pairs, those into one language together; options and Raises as `translate_texts`."""
    results: dict[int, Translation] = {}
    for code in dict.fromkeys(code for code, _ in named):
        places = [n for n, (own, _) in enumerate(named) if own == code]
        translated = translate_texts(engine_of(code), [named[n][1] for n in places], **options)
        results |= zip(places, translated, strict=True)
    return [results[n] for n in range(len(named))]


def stream_text(engine: Engine, text: str, **options: Any) -> Iterator[str]:
    """Yield the translation of a text piece by piece: word by word, or with beam search sentence by sentence.

    Joined, the pieces are the text of `translate_texts`. Options and Raises are the same.
    """
    settings = TranslateOptions(**{name: value for name, value in options.items() if name in _NAMES})
    search = settings.search(engine, {name: value for name, value in options.items() if name not in _NAMES})
    for part in _parts(engine, _checked(text), settings.split):
        if not part.is_sentence:
            yield part.text
        elif search.is_beam_search or search.num_return_sequences > 1 or placeholders(part.text):
            [done] = _translate_sentences(engine, [part.text], search, settings)
            yield "".join(sentence.text for sentence in done)
        else:
            yield from _words(engine, part.text, search, settings)


def _words(engine: Engine, text: str, search: GenerationOptions, settings: TranslateOptions) -> Iterator[str]:
    """Yield the translation of a sentence as its words are complete."""
    source = engine.encode(text)
    tokens = generate_tokens(
        engine.start([source]), [source], search, prompts=[engine.prompt], most=engine.max_target,
        rng=np.random.default_rng(settings.seed),
    )  # fmt: skip
    ids: list[int] = []
    n_given = 0
    for _, token in tokens:
        if token in search.eos:
            break
        ids.append(token)
        known = engine.decode(ids)
        end = known.rfind(" ")  # what is after the last space may still change
        if end > n_given:
            yield known[n_given:end]
            n_given = end
    yield engine.decode(ids)[n_given:]


def check_languages(*languages: str | None) -> None:
    """Refuse what is not text. Raises: UsageError."""
    for language in languages:
        if not isinstance(language, str | None):
            raise UsageError(f"a language is named by a text, not {type(language).__name__}")


def _checked(text: str) -> str:
    """Return a text that can be encoded: half a character (a lone surrogate) becomes the replacement character."""
    if not isinstance(text, str):
        raise UsageError(f"a text must be a string, not {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise UsageError(f"a text of {len(text)} characters", fix=f"give at most {MAX_TEXT} at a time")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parts(engine: Engine, text: str, split: bool) -> list[Part]:
    """Cut a text into sentences, or lines, none longer than the encoder holds."""
    pieces = split_sentences(text, whole_lines=not split)
    return [part for piece in pieces for part in (_fitted(engine, piece.text) if piece.is_sentence else [piece])]


def _fitted(engine: Engine, text: str) -> list[Part]:
    return fit(text, lambda piece: len(engine.encode(piece)), engine.max_source)


def _translate_sentences(
    engine: Engine, sentences: Sequence[str], search: GenerationOptions, settings: TranslateOptions
) -> list[list[TranslatedSentence]]:
    """Translate sentences; each becomes itself, or where a placeholder did not come through, what is around it."""
    done = _run(engine, sentences, search, settings)
    results = [[sentence] for sentence in done]
    lost = [n for n, sentence in enumerate(done) if not came_through(sentence.source, sentence.text)]
    cut = {n: around(sentences[n], lambda text: _fitted(engine, text)) for n in lost}
    inner = iter(_run(engine, [p.text for n in lost for p in cut[n] if p.is_sentence], search, settings))
    for n in lost:
        results[n] = [next(inner) if part.is_sentence else TranslatedSentence(part.text) for part in cut[n]]
    return results


def _run(
    engine: Engine, sentences: Sequence[str], search: GenerationOptions, settings: TranslateOptions
) -> list[TranslatedSentence]:
    """Translate sentences in batches of about one length, the longest first."""
    sources = [engine.encode(sentence) for sentence in sentences]
    order = sorted(range(len(sources)), key=lambda n: (-len(sources[n]), n))
    batches = [order[i : i + settings.batch_size] for i in range(0, len(order), settings.batch_size)]
    results: dict[int, TranslatedSentence] = {}
    rng = np.random.default_rng(settings.seed)
    for batch in track(batches, "translating", len(batches)) if len(batches) > 1 else batches:
        group = [sources[n] for n in batch]
        search_here = replace(search, prefix_allowed_tokens_fn=_renumbered(search, batch))
        hypotheses_of = generate(
            engine.start(group),
            group,
            search_here,
            prompts=[engine.prompt] * len(group),
            most=engine.max_target,
            rng=rng,
        )
        for n, hypotheses in zip(batch, hypotheses_of, strict=True):
            results[n] = _sentence(engine, sentences[n], sources[n], hypotheses, search)
    return [results[n] for n in range(len(sentences))]


def _renumbered(search: GenerationOptions, batch: Sequence[int]) -> Any:
    """Return the caller's function with the numbers of the sentences in the text, not in the batch."""
    allowed = search.prefix_allowed_tokens_fn
    return None if allowed is None else lambda number, ids: allowed(batch[number], ids)


def _sentence(
    engine: Engine, text: str, source: Sequence[int], hypotheses: Sequence[Any], search: GenerationOptions
) -> TranslatedSentence:
    candidates = []
    for hypothesis in hypotheses:
        is_complete = bool(hypothesis.ids) and hypothesis.ids[-1] in search.eos
        ids = hypothesis.ids[:-1] if is_complete else hypothesis.ids
        candidates.append(Candidate(engine.decode(ids), hypothesis.score, hypothesis.log_prob, ids, is_complete))
    has_loop = repeats(candidates[0].tokens, list(source))
    n_unknown = sum(token == engine.unknown for token in source)
    return TranslatedSentence(text, tuple(candidates), has_loop, len(source), n_unknown)


def _warn(results: Sequence[Translation]) -> None:
    loops = [sentence for result in results for sentence in result.sentences if sentence.repeats]
    if loops:
        note(
            f"warning: {count_text(len(loops), 'translation repeats', 'translations repeat')} words in a loop, first "
            f"{loops[0].source[:60]!r}; no_repeat_ngram_size 3 forbids it"
        )
    unread = [sentence for result in results for sentence in result.sentences if sentence.n_unknown]
    if unread:
        places = count_text(sum(sentence.n_unknown for sentence in unread), "place has", "places have")
        note(f"warning: {places} characters that the model does not know, first in {unread[0].source[:60]!r}")
    cut = sum(not result.is_complete for result in results)
    if cut:
        note(f"warning: {count_text(cut, 'text was', 'texts were')} cut off at the limit of tokens")
