"""Rules that change the scores of the next token, in the order of transformers' generate().

Beam search applies them to log probabilities, greedy search and sampling to logits: the same rule does two things.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from ..errors import UsageError
from .logits import log_softmax
from .options import GenerationOptions
from .warpers import warpers

Rows = Sequence[Sequence[int]]
# (sequences so far, decoder's start included; their scores [rows, V], changed in place)
Processor = Callable[[Rows, np.ndarray], None]


def processors(
    options: GenerationOptions, *, source: Sequence[int], n_prompt: int, limit: int, sentence: int = 0
) -> list[Processor]:
    """Return the rules of one sentence. limit: the length at which its sequences end.

    Source: transformers 5.23, generation/utils.py `_get_logits_processor`.
    """
    return list(_rules(options, source, n_prompt, limit, sentence))


def apply_processors(rules: Sequence[Processor], rows: Rows, scores: np.ndarray) -> np.ndarray:
    """Apply rules one after the other to a copy. Shapes: scores [rows, V] float32 -> the same."""
    if not rules:
        return scores
    scores = scores.copy()
    for rule in rules:
        rule(rows, scores)
    return scores


def _rules(
    options: GenerationOptions, source: Sequence[int], n_prompt: int, limit: int, sentence: int
) -> Iterator[Processor]:
    eos = list(options.eos)
    if options.sequence_bias:
        yield partial(_bias, options.sequence_bias)
    if options.encoder_repetition_penalty != 1:
        yield partial(_penalise_source, sorted(set(source)), 1 / options.encoder_repetition_penalty)
    if options.repetition_penalty != 1:
        yield partial(_penalise_repetition, options.repetition_penalty)
    if options.no_repeat_ngram_size:
        yield partial(_ban_ngrams, options.no_repeat_ngram_size)
    if options.encoder_no_repeat_ngram_size:
        yield partial(_ban_source_ngrams, options.encoder_no_repeat_ngram_size, list(source))
    if words := [word for word in options.bad_words_ids if len(word) != 1 or word[0] not in eos]:
        yield partial(_bias, [(word, -np.inf) for word in words])
    if options.min_length and eos:
        yield partial(_ban_until, options.min_length, eos)
    if options.min_new_tokens and eos:
        yield partial(_ban_until, n_prompt + options.min_new_tokens, eos)
    if options.prefix_allowed_tokens_fn is not None:
        yield partial(_allow_only, options.prefix_allowed_tokens_fn, sentence)
    if options.forced_bos_token_id is not None:
        yield partial(_force_at, 1, [options.forced_bos_token_id])
    if options.forced_eos_token_id:
        yield partial(_force_at, limit - 1, list(options.forced_eos_token_id))
    if options.remove_invalid_values:
        yield _remove_invalid
    if options.exponential_decay_length_penalty is not None and eos:
        start, factor = options.exponential_decay_length_penalty
        yield partial(_favour_the_end, n_prompt + start, factor, eos)
    if options.suppress_tokens:
        yield partial(_suppress, list(options.suppress_tokens))
    if options.begin_suppress_tokens:
        shifted = n_prompt == 1 and options.forced_bos_token_id is not None
        yield partial(_suppress_at, n_prompt + shifted, list(options.begin_suppress_tokens))
    if options.do_sample:
        yield from warpers(options)
    if options.renormalize_logits:
        yield _renormalise


def _bias(words: Sequence[tuple[Sequence[int], float]], rows: Rows, scores: np.ndarray) -> None:
    """Add to the score of a word's last id where the ids before it end the sequence."""
    bias = np.zeros_like(scores)
    with np.errstate(invalid="ignore"):
        for word, value in words:
            *prefix, last = word
            if max(word) >= scores.shape[1]:
                raise UsageError(f"id {max(word)} is beyond the vocabulary of {scores.shape[1]}")
            if not prefix:
                bias[:, last] = value
        for word, value in words:
            *prefix, last = word
            for row, ids in enumerate(rows):
                if prefix and len(prefix) <= len(ids) and list(ids[-len(prefix) :]) == prefix:
                    bias[row, last] += value
        scores += bias


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


def _ban_until(length: int, ids: list[int], rows: Rows, scores: np.ndarray) -> None:
    """Forbid ids in sequences shorter than `length`."""
    if len(rows[0]) < length:
        scores[:, ids] = -np.inf


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


def _force_at(length: int, ids: list[int], rows: Rows, scores: np.ndarray) -> None:
    """Leave nothing but `ids` to follow sequences of this length; they cost nothing."""
    if len(rows[0]) == length:
        scores[:] = -np.inf
        scores[:, ids] = 0


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


def _suppress_at(length: int, ids: list[int], rows: Rows, scores: np.ndarray) -> None:
    if len(rows[0]) == length:
        _suppress(ids, rows, scores)


def _renormalise(rows: Rows, scores: np.ndarray) -> None:
    scores[:] = log_softmax(scores)
