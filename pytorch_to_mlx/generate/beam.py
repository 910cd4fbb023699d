"""Beam search over token sequences. The caller runs the model, this chooses the beams."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Tokens = tuple[int, ...]


@dataclass
class BeamSearch:
    """The search over the beams of one input, and its finished sequences with their summed log probabilities.

    beam_size beams stay alive; the search ends when round(beam_size * patience) sequences are finished.
    Raises: ValueError if these numbers leave no candidate.
    Source: Kasai et al. 2022, "A Call for Clarity in Beam Search" (patience); the order of candidates and the rule
    for a full list are those of openai-whisper, whisper/decoding.py `BeamSearchDecoder`.
    """

    beam_size: int
    eos: int
    patience: float = 1.0
    finished_sequences: dict[Tokens, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.beam_size < 1 or round(self.beam_size * self.patience) < 1:
            raise ValueError(f"beam_size {self.beam_size} with patience {self.patience} leaves no candidate")

    @property
    def max_candidates(self) -> int:
        """Return how many finished sequences end the search."""
        return round(self.beam_size * self.patience)

    @property
    def is_finished(self) -> bool:
        """Return whether enough sequences are finished."""
        return len(self.finished_sequences) >= self.max_candidates

    def update(
        self, beams: Sequence[Tokens], sums: Sequence[float], log_probs: np.ndarray
    ) -> tuple[list[Tokens], list[float], list[int]]:
        """Choose the beams of the next step; return them, their summed log probabilities, and the row each continues.

        Shapes: log_probs [beam_size, V], of the token after each beam.
        """
        width = min(self.beam_size + 1, log_probs.shape[-1])
        best = np.argpartition(-log_probs, width - 1, axis=-1)[:, :width]
        scores: dict[Tokens, float] = {}
        rows: dict[Tokens, int] = {}
        for row, (prefix, total) in enumerate(zip(beams, sums, strict=True)):
            ranked = best[row][np.argsort(-log_probs[row, best[row]], kind="stable")]
            for token in ranked.tolist():
                candidate = (*prefix, token)
                # Equal prefixes (all beams at the first step) give equal candidates: the last one stands for all.
                scores[candidate] = float(np.float32(total) + log_probs[row, token])
                rows[candidate] = row
        endings: dict[Tokens, float] = {}
        alive: list[Tokens] = []
        for candidate in sorted(scores, key=scores.__getitem__, reverse=True):
            if candidate[-1] == self.eos:
                endings[candidate] = scores[candidate]
            else:
                alive.append(candidate)
                if len(alive) == self.beam_size:
                    break
        for candidate in sorted(endings, key=endings.__getitem__, reverse=True):
            if self.is_finished:
                break
            self.finished_sequences[candidate] = endings[candidate]
        return alive, [scores[c] for c in alive], [rows[c] for c in alive]

    def candidates(self, beams: Sequence[Tokens], sums: Sequence[float]) -> list[tuple[Tokens, float]]:
        """Return the finished sequences and their log probabilities, filled up to beam_size with the best beams."""
        pool = dict(self.finished_sequences)
        for index in np.argsort(sums)[::-1].tolist():
            if len(pool) >= self.beam_size:
                break
            pool[(*beams[index], self.eos)] = sums[index]
        return list(pool.items())


def length_normalised(log_prob: float, length: int, length_penalty: float | None) -> float:
    """Return the score to rank by: log_prob / length, or with a penalty alpha, log_prob / ((5 + length) / 6) ** alpha.

    Source: Wu et al. 2016, eq. 14.
    """
    penalty = length if length_penalty is None else ((5 + length) / 6) ** length_penalty
    return log_prob / penalty if penalty else float("-inf")
