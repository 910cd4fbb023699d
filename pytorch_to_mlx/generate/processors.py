"""Rules that change the scores of the next token, in the order of transformers' generate().

Beam search applies them to log probabilities, greedy search and sampling to logits: the same rule does two things.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..errors import UsageError
from .logits import log_softmax
from .options import GenerationOptions
from .warpers import warpers

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Processor:
    """A rule. apply: changes scores [rows, V] of sequences, the decoder's start included, in place.

    n_lowered: of how many ids of a row it may lower the score at this point; None where it may raise scores, or change
    any. So the best few after a rule that lowers n ids are among the best few and n before it.
    """

    apply: Callable[[Rows, np.ndarray], None]
    n_lowered: Callable[[Rows], int | None] = lambda rows: None


def processors(
    options: GenerationOptions, *, source: Sequence[int], n_prompt: int, limit: int, sentence: int = 0
) -> list[Processor]:
    """Return the rules of one sentence. limit: the length at which its sequences end.

    Source: transformers 5.23, generation/utils.py `_get_logits_processor`.
    """
    return list(_rules(options, source, n_prompt, limit, sentence))


def n_lowered(rules: Sequence[Processor], rows: Rows) -> int | None:
    """Return of how many ids of a row the rules together may lower the score; None where they may do more."""
    total = 0
    for rule in rules:
        count = rule.n_lowered(rows)
        if count is None:
            return None
        total += count
    return total


def apply_processors(rules: Sequence[Processor], rows: Rows, scores: np.ndarray) -> np.ndarray:
    """Apply rules one after the other to a copy. Shapes: scores [rows, V] float32 -> the same."""
    if not rules:
        return scores
    scores = scores.copy()
    for rule in rules:
        rule.apply(rows, scores)
    return scores


def apply_to_candidates(
    rules: Sequence[Processor], rows: Rows, ids: np.ndarray, scores: np.ndarray, space: np.ndarray
) -> np.ndarray:
    """Apply rules that only lower scores to those of some ids. space: -inf everywhere, before and after.

    Shapes: ids and scores [rows, count], space [at least rows, V] float32 -> [rows, count].
    """
    every = space[: len(rows)]
    np.put_along_axis(every, ids, scores, axis=1)
    for rule in rules:
        rule.apply(rows, every)
    lowered = np.take_along_axis(every, ids, axis=1)
    np.put_along_axis(every, ids, -np.inf, axis=1)
    return lowered


def _rules(
    options: GenerationOptions, source: Sequence[int], n_prompt: int, limit: int, sentence: int
) -> Iterator[Processor]:
    eos = list(options.eos)
    if options.sequence_bias:
        lowers = all(value <= 0 for _, value in options.sequence_bias)
        yield Processor(partial(_bias, options.sequence_bias), _always(len(options.sequence_bias) if lowers else None))
    if options.encoder_repetition_penalty != 1:
        ids, penalty = sorted(set(source)), 1 / options.encoder_repetition_penalty
        yield Processor(partial(_penalise_source, ids, penalty), _always(len(ids) if penalty > 1 else None))
    if options.repetition_penalty != 1:
        penalty = options.repetition_penalty
        yield Processor(
            partial(_penalise_repetition, penalty), lambda rows: max(map(len, rows)) if penalty > 1 else None
        )
    if options.no_repeat_ngram_size:
        size = options.no_repeat_ngram_size
        yield Processor(
            partial(_ban_ngrams, size), lambda rows: max(len(_followers(list(ids), list(ids), size)) for ids in rows)
        )
    if options.encoder_no_repeat_ngram_size:
        size, text = options.encoder_no_repeat_ngram_size, list(source)
        yield Processor(
            partial(_ban_source_ngrams, size, text),
            lambda rows: max(len(_followers(text, list(ids), size)) for ids in rows),
        )
    if words := [word for word in options.bad_words_ids if len(word) != 1 or word[0] not in eos]:
        yield Processor(partial(_bias, [(word, -np.inf) for word in words]), _always(len(words)))
    if options.min_length and eos:
        yield _ban_until(options.min_length, eos)
    if options.min_new_tokens and eos:
        yield _ban_until(n_prompt + options.min_new_tokens, eos)
    if options.prefix_allowed_tokens_fn is not None:
        yield Processor(partial(_allow_only, options.prefix_allowed_tokens_fn, sentence))
    if options.forced_bos_token_id is not None:
        yield _force_at(1, [options.forced_bos_token_id])
    if options.forced_eos_token_id:
        yield _force_at(limit - 1, list(options.forced_eos_token_id))
    if options.remove_invalid_values:
        yield Processor(_remove_invalid)
    if options.exponential_decay_length_penalty is not None and eos:
        start, factor = options.exponential_decay_length_penalty
        yield Processor(
            partial(_favour_the_end, n_prompt + start, factor, eos),
            lambda rows: None if len(rows[0]) > n_prompt + start else 0,
        )
    if options.suppress_tokens:
        yield Processor(partial(_suppress, list(options.suppress_tokens)), _always(len(options.suppress_tokens)))
    if options.begin_suppress_tokens:
        shifted = n_prompt == 1 and options.forced_bos_token_id is not None
        yield _suppress_at(n_prompt + shifted, list(options.begin_suppress_tokens))
    if options.do_sample:
        yield from map(Processor, warpers(options))
    if options.renormalize_logits:
        yield Processor(_renormalise)


def _always(count: int | None) -> Callable[[Rows], int | None]:
    return lambda rows: count


def _bias(words: Sequence[tuple[Sequence[int], float]], rows: Rows, scores: np.ndarray) -> None:
    """Add to the score of a word's last id where the ids before it end the sequence."""
    bias = [{} for _ in rows]  # by row, the ids that get one
    for word, value in words:
        *prefix, last = word
        if max(word) >= scores.shape[1]:
            raise UsageError(f"id {max(word)} is beyond the vocabulary of {scores.shape[1]}")
        if not prefix:
            for own in bias:
                own[last] = value
    for word, value in words:
        *prefix, last = word
        for own, ids in zip(bias, rows, strict=True):
            if prefix and len(prefix) <= len(ids) and list(ids[-len(prefix) :]) == prefix:
                own[last] = own.get(last, 0.0) + value
    with np.errstate(invalid="ignore"):
        for row, own in zip(scores, bias, strict=True):
            row[list(own)] += np.array(list(own.values()), np.float32)


def _penalise(scores: np.ndarray, ids: np.ndarray, penalty: float) -> None:
    values, factor = scores[ids], np.float32(penalty)
    scores[ids] = np.where(values < 0, values * factor, values / factor)


def _penalise_source(ids: Sequence[int], penalty: float, rows: Rows, scores: np.ndarray) -> None:
    """Favour the ids of the source."""
    for row in scores:
        _penalise(row, np.array(ids), penalty)


def _penalise_repetition(penalty: float, rows: Rows, scores: np.ndarray) -> None:
    """Disfavour every id that the sequence holds, the decoder's start too."""
    for ids, row in zip(rows, scores, strict=True):
        used = np.unique(ids)
        _penalise(row, used[(used >= 0) & (used < len(row))], penalty)


def _ban_ngrams(size: int, rows: Rows, scores: np.ndarray) -> None:
    """Forbid the ids that would complete an n-gram of the sequence again."""
    for ids, row in zip(rows, scores, strict=True):
        row[_followers(list(ids), list(ids), size)] = -np.inf


def _ban_source_ngrams(size: int, source: list[int], rows: Rows, scores: np.ndarray) -> None:
    """Forbid the ids that would complete an n-gram of the source."""
    for ids, row in zip(rows, scores, strict=True):
        row[_followers(source, list(ids), size)] = -np.inf


def _followers(text: list[int], ids: list[int], size: int) -> list[int]:
    """Return the ids of `text` that follow there what `ids` ends with, size - 1 ids."""
    n_prefix = size - 1
    if len(ids) < n_prefix:
        return []
    prefix = ids[len(ids) - n_prefix :]
    return [text[i + n_prefix] for i in range(len(text) - n_prefix) if text[i : i + n_prefix] == prefix]


def _ban_until(length: int, ids: list[int]) -> Processor:
    """Forbid ids in sequences shorter than `length`."""

    def ban(rows: Rows, scores: np.ndarray) -> None:
        if len(rows[0]) < length:
            scores[:, ids] = -np.inf

    return Processor(ban, lambda rows: len(ids) if len(rows[0]) < length else 0)


def _allow_only(
    allowed: Callable[[int, Sequence[int]], Sequence[int]], sentence: int, rows: Rows, scores: np.ndarray
) -> None:
    """Forbid all ids but those that `allowed` names; where all of these are forbidden already, they get 0."""
    mask = np.full_like(scores, -np.inf)
    for row, ids in enumerate(rows):
        tokens = list(allowed(sentence, ids))
        if not tokens:
            raise UsageError(f"prefix_allowed_tokens_fn allows nothing in sentence {sentence}")
        mask[row, tokens] = 0
    restricted = scores + mask
    scores[:] = mask if np.isneginf(restricted.max(axis=-1)).all() else restricted


def _force_at(length: int, ids: list[int]) -> Processor:
    """Leave nothing but `ids` to follow sequences of this length; they cost nothing."""

    def force(rows: Rows, scores: np.ndarray) -> None:
        if len(rows[0]) == length:
            scores[:] = -np.inf
            scores[:, ids] = 0

    return Processor(force, lambda rows: None if len(rows[0]) == length else 0)


def _remove_invalid(rows: Rows, scores: np.ndarray) -> None:
    """Replace NaN by 0, and infinities by the largest numbers."""
    largest = float(np.finfo(np.float32).max)
    np.nan_to_num(scores, copy=False, nan=0.0, posinf=largest, neginf=-largest)


def _favour_the_end(start: int, factor: float, eos: list[int], rows: Rows, scores: np.ndarray) -> None:
    """Raise the scores of the ids that end a sequence, the more the longer it is."""
    length = len(rows[0])
    if length > start:
        values = scores[:, eos]
        gain = np.abs(values) * np.float32(factor ** (length - start) - 1)
        scores[:, eos] = values + np.where(np.isfinite(values), gain, 0)


def _suppress(ids: list[int], rows: Rows, scores: np.ndarray) -> None:
    scores[:, [number for number in ids if 0 <= number < scores.shape[1]]] = -np.inf


def _suppress_at(length: int, ids: list[int]) -> Processor:
    def suppress(rows: Rows, scores: np.ndarray) -> None:
        if len(rows[0]) == length:
            _suppress(ids, rows, scores)

    return Processor(suppress, lambda rows: len(ids) if len(rows[0]) == length else 0)


def _renormalise(rows: Rows, scores: np.ndarray) -> None:
    scores[:] = log_softmax(scores)
