"""Generate sequences with an encoder and a decoder: greedy, sampled or by beam search, sentences together.

A finished sentence leaves the batch, and the beams of one sentence share the keys and values of its source; neither
changes a result, because sentences do not depend on one another.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import mlx.core as mx
import numpy as np

from .hypotheses import Hypothesis, SentenceBeams
from .logits import log_softmax
from .options import GenerationOptions
from .processors import Processor, apply_processors, processors

Ids: TypeAlias = Sequence[int]
Tokens: TypeAlias = Generator[tuple[int, int], None, list[list[Hypothesis]]]


class Steps(Protocol):
    """A decoder that runs step by step over rows: the sequences of some sentences, each sentence's side by side."""

    def step(self, tokens: np.ndarray) -> Sequence[np.ndarray] | np.ndarray:
        """Return the logits after one more token in every row. Shapes: tokens [rows, L] -> [rows, V] float32."""
        ...

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
    logits = _float32(steps.step(np.array(prompts)))
    options.check_ids(logits.shape[-1])
    logits = np.repeat(logits, n_beams, axis=0)
    parents_of_rows = np.repeat(np.arange(len(groups)), n_beams).tolist()
    while True:
        log_probs = log_softmax(logits)
        unfinished, rows = [], []
        for place, number in enumerate(active):
            own = slice(place * n_beams, (place + 1) * n_beams)
            group = groups[number]
            parents = group.update(apply_processors(rules[number], group.rows, log_probs[own]))
            if group.is_open:
                unfinished.append(place)
                rows += [parents_of_rows[place * n_beams + parent] for parent in parents]
        if not unfinished:
            return [group.hypotheses() for group in groups]
        steps.select(unfinished, rows)
        active = [active[place] for place in unfinished]
        parents_of_rows = list(range(len(rows)))
        logits = _float32(steps.step(np.array([[row[-1]] for number in active for row in groups[number].rows])))


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
    logits = _float32(steps.step(np.array(prompts)))
    options.check_ids(logits.shape[-1])
    logits = np.repeat(logits, count, axis=0)
    parents = np.repeat(np.arange(len(groups)), count).tolist()
    while True:
        log_probs = log_softmax(logits)
        for place, row in enumerate(row for group in active for row in group):
            if row.is_finished:
                continue
            scores = apply_processors(row.rules, [row.ids], logits[place : place + 1])[0]
            token = _draw(scores, rng) if options.do_sample else int(scores.argmax())
            row.ids.append(token)
            row.total += float(log_probs[place, token])
            row.is_finished = token in options.eos or len(row.ids) >= row.limit
            yield row.sentence, token
        unfinished = [place for place, group in enumerate(active) if not all(row.is_finished for row in group)]
        if not unfinished:
            break
        steps.select(unfinished, [parents[place * count + k] for place in unfinished for k in range(count)])
        active = [active[place] for place in unfinished]
        parents = list(range(len(active) * count))
        logits = _float32(steps.step(np.array([[row.ids[-1]] for group in active for row in group])))
    return [list(_ranked(group, prompt, options)) for group, prompt in zip(groups, prompts, strict=True)]


def _ranked(group: list[_Row], prompt: Ids, options: GenerationOptions) -> Iterator[Hypothesis]:
    """Yield the sequences of a sentence as they were drawn; the score is as beam search computes it."""
    for row in group:
        ids = tuple(row.ids[len(prompt) :])
        yield Hypothesis(ids, row.total / len(ids) ** options.length_penalty, row.total)


def _draw(scores: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a token: argmax(score + Gumbel noise) is a sample of the softmax. Shapes: scores [V]."""
    return int((scores + rng.gumbel(size=scores.shape)).argmax())


def _float32(logits: Sequence[np.ndarray] | np.ndarray | mx.array) -> np.ndarray:
    return np.asarray(logits, np.float32)
