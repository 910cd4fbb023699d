"""Beam search over one sentence, with the rules of transformers' generate(). The caller runs the model."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .options import GenerationOptions

NOT_FINISHED = np.float32(-1e9)


@dataclass(frozen=True)
class Hypothesis:
    """A generated sequence without the decoder's start, its end token included if it has one.

    score: what transformers ranks by, the sum of the scores over length ** length_penalty. log_prob: that sum.
    """

    ids: tuple[int, ...]
    score: float
    log_prob: float


@dataclass
class _Finished:
    ids: list[int]
    score: np.float32
    total: float = 0.0
    is_real: bool = False


@dataclass
class SentenceBeams:
    """The beams of one sentence and its finished sequences.

    rows: the beams, prompt included. is_open: whether a beam can still become one of the finished. limit: the length at
    which every sequence ends. draw: returns numbers to add to the scores before the best are taken, for sampling.
    Source: transformers 5.23, generation/utils.py `_beam_search` and its helpers; CTranslate2 and Marian differ.
    """

    options: GenerationOptions
    prompt: tuple[int, ...]
    limit: int
    draw: Callable[[int], np.ndarray] | None = None
    rows: list[list[int]] = field(init=False)
    is_open: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        n_beams = self.options.num_beams
        self.rows = [list(self.prompt) for _ in range(n_beams)]
        self._sums = np.full(n_beams, NOT_FINISHED, np.float32)
        self._sums[0] = 0  # the beams are equal at first: only one counts
        self._finished = [_Finished(list(self.prompt), NOT_FINISHED) for _ in range(n_beams)]

    def update(self, scores: np.ndarray) -> list[int]:
        """Continue the beams by their best tokens; return which beam each new one continues.

        Shapes: scores [num_beams, V], log probabilities after the rules.
        """
        n_vocab = scores.shape[1]
        flat = (scores + self._sums[:, None]).reshape(-1)
        best = self._best(flat, min(self.n_candidates, scores.size))
        return self._advance(best // n_vocab, best % n_vocab, flat[best])

    def update_from(self, scores: np.ndarray, ids: np.ndarray) -> list[int]:
        """Do what `update` does, from the scores of some ids only: n_candidates of each beam are enough.

        Shapes: scores and ids [num_beams, count].
        """
        sums = (scores + self._sums[:, None]).reshape(-1)
        beams = np.repeat(np.arange(len(ids)), ids.shape[1])
        best = np.lexsort((ids.reshape(-1), beams, -sums))[: self.n_candidates]
        return self._advance(beams[best], ids.reshape(-1)[best], sums[best])

    @property
    def n_candidates(self) -> int:
        """Return how many continuations are looked at, so that enough of them can go on."""
        return max(2, 1 + len(self.options.eos)) * self.options.num_beams

    def _advance(self, parents: np.ndarray, tokens: np.ndarray, sums: np.ndarray) -> list[int]:
        """Continue by these tokens, best first; return which beam each new one continues."""
        options, n_beams = self.options, self.options.num_beams
        stops = np.isin(tokens, options.eos) | (len(self.rows[0]) + 1 >= self.limit)
        self._finish(parents, tokens, sums, stops)
        alive = sums + np.where(stops, NOT_FINISHED, np.float32(0))
        chosen = np.argsort(-alive, kind="stable")[:n_beams]
        self.rows = [[*self.rows[parents[i]], int(tokens[i])] for i in chosen]
        self._sums = alive[chosen]
        self._close(bool(stops.all()))
        return [int(parents[i]) for i in chosen]

    def _best(self, flat: np.ndarray, count: int) -> np.ndarray:
        """Return the places of the best scores, best first; equal ones in their order."""
        ranked = flat if self.draw is None else flat + self.draw(len(flat))
        threshold = -np.partition(-ranked, count - 1)[count - 1]
        places = np.flatnonzero(ranked >= threshold)
        return places[np.argsort(-ranked[places], kind="stable")[:count]]

    def _finish(self, parents: np.ndarray, tokens: np.ndarray, sums: np.ndarray, stops: np.ndarray) -> None:
        """Take what has ended among the finished, if it is among the first num_beams and better than what is there."""
        options, n_beams = self.options, self.options.num_beams
        n_generated = len(self.rows[0]) + 1 - len(self.prompt)
        is_full = options.early_stopping is True and all(entry.is_real for entry in self._finished)
        candidates = [
            _Finished(
                [*self.rows[parents[i]], int(tokens[i])],
                np.float32(sums[i] / np.float32(n_generated**options.length_penalty)),
                float(sums[i]),
                True,
            )
            for i in range(min(n_beams, len(stops)))
            if stops[i] and not is_full and self.is_open and sums[i] > -np.inf
        ]
        merged = [*self._finished, *candidates]
        order = np.argsort(-np.array([entry.score for entry in merged]), kind="stable")[:n_beams]
        self._finished = [merged[i] for i in order]

    def _close(self, is_stuck: bool) -> None:
        """Close the sentence where no beam can become better than the worst of the finished."""
        options = self.options
        n_generated = len(self.rows[0]) - len(self.prompt)
        if options.early_stopping == "never" and options.length_penalty > 0:
            n_generated = self.limit - len(self.prompt)
        best_possible = self._sums[0] / np.float32(n_generated**options.length_penalty)
        scores = [entry.score if entry.is_real else NOT_FINISHED for entry in self._finished]
        is_full = options.early_stopping is True and all(entry.is_real for entry in self._finished)
        self.is_open = self.is_open and bool(best_possible > min(scores)) and not is_full and not is_stuck

    def hypotheses(self) -> list[Hypothesis]:
        """Return the finished sequences, best first, at most num_return_sequences."""
        real = [entry for entry in self._finished if entry.is_real]
        return [
            Hypothesis(tuple(entry.ids[len(self.prompt) :]), float(entry.score), entry.total)
            for entry in real[: self.options.num_return_sequences]
        ]
