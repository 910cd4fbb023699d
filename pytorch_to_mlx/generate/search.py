"""Generate sequences with an encoder and a decoder: greedy, sampled or by beam search, sentences together.

A finished sentence leaves the batch, and the beams of one sentence share the keys and values of its source; neither
changes a result, because sentences do not depend on one another.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import mlx.core as mx
import numpy as np

from .candidates import Candidates, best_candidates
from .hypotheses import Hypothesis, SentenceBeams
from .logits import log_softmax
from .options import GenerationOptions
from .processors import Processor, apply_processors, apply_to_candidates, n_lowered, processors

Ids: TypeAlias = Sequence[int]
Tokens: TypeAlias = Generator[tuple[int, int], None, list[list[Hypothesis]]]


class Steps(Protocol):
    """A decoder that runs step by step over rows: the sequences of some sentences, each sentence's side by side."""

    def step(self, tokens: np.ndarray) -> Sequence[np.ndarray] | np.ndarray:
        """Return the logits after one more token in every row. Shapes: tokens [rows, L] -> [rows, V] float32."""
        ...

    def best(self, tokens: np.ndarray, count: int, *, normalized: bool = True) -> Candidates:
        """Do a step, and return only the likeliest tokens: `count` of each row, or all if there are fewer.

        normalized: if False, the log_sums of a single row may be 0; then `log_sums` returns them at the end.
        """
        return best_candidates(np.asarray(self.step(tokens), np.float32), count)

    def log_sums(self) -> np.ndarray:
        """Return those of the steps that `best` did not normalize. Shapes: -> [steps]."""
        return np.zeros(0, np.float32)

    def select(self, sentences: Sequence[int], rows: Sequence[int]) -> None:
        """Go on with these of the sentences and these of the rows, which may occur several times."""
        ...


@dataclass
class _Row:
    """A sequence that grows by one token at a time. sentence: its number in the batch."""

    sentence: int
    ids: list[int]
    limit: int
    rules: list[Processor]
    total: float = 0.0
    is_finished: bool = False


def generate(
    steps: Steps,
    sources: Sequence[Ids],
    options: GenerationOptions,
    *,
    prompts: Sequence[Ids],
    most: int,
    rng: np.random.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Return the hypotheses of every sentence, best first; the rest is as in `generate_tokens`."""
    tokens = generate_tokens(steps, sources, options, prompts=prompts, most=most, rng=rng)
    while True:
        try:
            next(tokens)
        except StopIteration as stop:
            return stop.value


def generate_tokens(
    steps: Steps,
    sources: Sequence[Ids],
    options: GenerationOptions,
    *,
    prompts: Sequence[Ids],
    most: int,
    rng: np.random.Generator | None = None,
) -> Tokens:
    """Yield (number of the sentence, next token) of greedy search and of samples; return the hypotheses at the end.

    steps: the decoder before its first step, with one row for each sentence. sources: the ids of each sentence, without
    padding. prompts: what the decoder starts with, of one length. most: tokens that a sequence may hold. rng: for
    sampling, by default seeded with 0. Beam search yields nothing: its tokens are not settled before the end.
    Raises: CheckError if the logits are not finite; UsageError for options with ids beyond the vocabulary.
    """
    rng = rng or np.random.default_rng(0)
    limits = [options.limit(len(source), len(prompt), most) for source, prompt in zip(sources, prompts, strict=True)]
    rules = [
        processors(options, source=source, n_prompt=len(prompt), limit=limit, sentence=number)
        for number, (source, prompt, limit) in enumerate(zip(sources, prompts, limits, strict=True))
    ]
    if options.is_beam_search:
        return _beams(steps, options, prompts, limits, rules, rng)
    return (yield from _rows(steps, options, prompts, limits, rules, rng))


def _beams(
    steps: Steps,
    options: GenerationOptions,
    prompts: Sequence[Ids],
    limits: list[int],
    rules: list[list[Processor]],
    rng: np.random.Generator,
) -> list[list[Hypothesis]]:
    draw = (lambda size: rng.gumbel(size=size).astype(np.float32)) if options.do_sample else None
    groups = [SentenceBeams(options, tuple(prompt), limit, draw) for prompt, limit in zip(prompts, limits, strict=True)]
    n_beams = options.num_beams
    active = list(range(len(groups)))
    tokens, repeats = np.array(prompts), n_beams  # the beams of a sentence are equal at first: one row stands for all
    parents_of_rows = np.repeat(np.arange(len(groups)), n_beams).tolist()
    space = np.zeros((0, 0), np.float32)
    while True:
        lowered = [n_lowered(rules[number], groups[number].rows) for number in active]
        counts = [count for count in lowered if count is not None]
        candidates = None
        if draw is None and len(counts) == len(active):
            candidates = steps.best(tokens, groups[0].n_candidates + max(counts)).repeat(repeats)
            options.check_ids(candidates.n_vocab)
            scores = candidates.log_probs()
            space = _space(space, n_beams, candidates.n_vocab) if any(counts) else space
        else:
            logits = _float32(steps.step(tokens))
            options.check_ids(logits.shape[-1])
            scores = log_softmax(np.repeat(logits, repeats, axis=0))
        unfinished, rows = [], []
        for place, number in enumerate(active):
            own = slice(place * n_beams, (place + 1) * n_beams)
            group = groups[number]
            if candidates is None:
                parents = group.update(apply_processors(rules[number], group.rows, scores[own]))
            else:
                ids, own_scores = candidates.ids[own], scores[own]
                if lowered[place]:
                    own_scores = apply_to_candidates(rules[number], group.rows, ids, own_scores, space)
                parents = group.update_from(own_scores, ids)
            if group.is_open:
                unfinished.append(place)
                rows += [parents_of_rows[place * n_beams + parent] for parent in parents]
        if not unfinished:
            return [group.hypotheses() for group in groups]
        steps.select(unfinished, rows)
        active = [active[place] for place in unfinished]
        parents_of_rows, repeats = list(range(len(rows))), 1
        tokens = np.array([[row[-1]] for number in active for row in groups[number].rows])


def _rows(
    steps: Steps,
    options: GenerationOptions,
    prompts: Sequence[Ids],
    limits: list[int],
    rules: list[list[Processor]],
    rng: np.random.Generator,
) -> Tokens:
    """Search greedily, or sample num_return_sequences of each sentence."""
    count = options.num_return_sequences
    groups = [
        [_Row(number, list(prompt), limits[number], rules[number]) for _ in range(count)]
        for number, prompt in enumerate(prompts)
    ]
    active = groups
    tokens, repeats = np.array(prompts), count
    parents = np.repeat(np.arange(len(groups)), count).tolist()
    space = np.zeros((0, 0), np.float32)
    while True:
        rows = [row for group in active for row in group]
        lowered = [0 if row.is_finished else n_lowered(row.rules, [row.ids]) for row in rows]
        counts = [count for count in lowered if count is not None]
        candidates, logits = None, np.zeros((0, 0), np.float32)
        if not options.do_sample and len(counts) == len(rows):
            candidates = steps.best(tokens, 1 + max(counts), normalized=False).repeat(repeats)
            options.check_ids(candidates.n_vocab)
            log_probs = candidates.log_probs()
            space = _space(space, 1, candidates.n_vocab) if any(counts) else space
        else:
            logits = _float32(steps.step(tokens))
            options.check_ids(logits.shape[-1])
            logits = np.repeat(logits, repeats, axis=0)
            log_probs = log_softmax(logits)
        for place, row in enumerate(rows):
            if row.is_finished:
                continue
            if candidates is not None:
                token, log_prob = _best(row, place, candidates, log_probs, space if lowered[place] else None)
            else:
                scores = apply_processors(row.rules, [row.ids], logits[place : place + 1])[0]
                token = _draw(scores, rng) if options.do_sample else int(scores.argmax())
                log_prob = float(log_probs[place, token])
            row.ids.append(token)
            row.total += log_prob
            row.is_finished = token in options.eos or len(row.ids) >= row.limit
            yield row.sentence, token
        unfinished = [place for place, group in enumerate(active) if not all(row.is_finished for row in group)]
        if not unfinished:
            rows[0].total -= float(steps.log_sums().sum())  # of steps that had no other row
            break
        steps.select(unfinished, [parents[place * count + k] for place in unfinished for k in range(count)])
        active = [active[place] for place in unfinished]
        parents, repeats = list(range(len(active) * count)), 1
        tokens = np.array([[row.ids[-1]] for group in active for row in group])
    return [list(_ranked(group, prompt, options)) for group, prompt in zip(groups, prompts, strict=True)]


def _ranked(group: list[_Row], prompt: Ids, options: GenerationOptions) -> Iterator[Hypothesis]:
    """Yield the sequences of a sentence as they were drawn; the score is as beam search computes it."""
    for row in group:
        ids = tuple(row.ids[len(prompt) :])
        yield Hypothesis(ids, row.total / len(ids) ** options.length_penalty, row.total)


def _best(
    row: _Row, place: int, candidates: Candidates, log_probs: np.ndarray, space: np.ndarray | None
) -> tuple[int, float]:
    """Return the likeliest token, the first of equal ones, and its log probability. space: where rules apply."""
    ids, scores = candidates.ids[place], candidates.logits[place]
    if space is not None:
        scores = apply_to_candidates(row.rules, [row.ids], ids[None], scores[None], space)[0]
    best = min(np.flatnonzero(scores == scores.max()), key=ids.__getitem__)
    return int(ids[best]), float(log_probs[place, best])


def _space(space: np.ndarray, n_rows: int, n_vocab: int) -> np.ndarray:
    """Return the array that `apply_to_candidates` works in: the same again if there is one."""
    return space if space.size else np.full((n_rows, n_vocab), -np.inf, np.float32)


def _draw(scores: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a token: argmax(score + Gumbel noise) is a sample of the softmax. Shapes: scores [V]."""
    return int((scores + rng.gumbel(size=scores.shape)).argmax())


def _float32(logits: Sequence[np.ndarray] | np.ndarray | mx.array) -> np.ndarray:
    return np.asarray(logits, np.float32)
