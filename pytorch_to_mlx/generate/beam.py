"""Beam search over token sequences; the model is called by the caller."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Tokens = tuple[int, ...]


@dataclass
class BeamSearch:
    """The beams of one input, and the sequences that have ended.

    beam_size beams stay alive; the search is done when round(beam_size * patience) sequences have ended.
    Source: Kasai et al. 2022, "A Call for Clarity in Beam Search" (patience); the order of candidates and the rule
    for a full list are those of openai-whisper, whisper/decoding.py `BeamSearchDecoder`.
    """

    beam_size: int
    eos: int
    patience: float = 1.0
    finished: dict[Tokens, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.beam_size < 1 or round(self.beam_size * self.patience) < 1:
            raise ValueError(f"beam_size {self.beam_size} with patience {self.patience} leaves no candidate")

    @property
    def max_candidates(self) -> int:
        return round(self.beam_size * self.patience)

    @property
    def done(self) -> bool:
        return len(self.finished) >= self.max_candidates

    def update(
        self, beams: Sequence[Tokens], sums: Sequence[float], log_probs: np.ndarray
    ) -> tuple[list[Tokens], list[float], list[int]]:
        """One step. Shapes: log_probs [beam_size, V].

        Returns the new beams, their summed log probabilities, and the row that each of them continues.
        """
        width = min(self.beam_size + 1, log_probs.shape[-1])
        best = np.argpartition(-log_probs, width - 1, axis=-1)[:, :width]
        scores: dict[Tokens, float] = {}
        sources: dict[Tokens, int] = {}
        for row, (prefix, total) in enumerate(zip(beams, sums, strict=True)):
            ranked = best[row][np.argsort(-log_probs[row, best[row]], kind="stable")]
            for token in ranked.tolist():
                candidate = (*prefix, token)
                # equal prefixes (all beams at the first step) give equal candidates: the last one stands for all
                scores[candidate] = float(np.float32(total) + log_probs[row, token])
                sources[candidate] = row
        ended: dict[Tokens, float] = {}
        alive: list[Tokens] = []
        for candidate in sorted(scores, key=scores.__getitem__, reverse=True):
            if candidate[-1] == self.eos:
                ended[candidate] = scores[candidate]
            else:
                alive.append(candidate)
                if len(alive) == self.beam_size:
                    break
        for candidate in sorted(ended, key=ended.__getitem__, reverse=True):
            if self.done:
                break
            self.finished[candidate] = ended[candidate]
        return alive, [scores[c] for c in alive], [sources[c] for c in alive]

    def candidates(self, beams: Sequence[Tokens], sums: Sequence[float]) -> list[tuple[Tokens, float]]:
        """The ended sequences with their summed log probabilities; unfinished beams fill up to beam_size."""
        pool = dict(self.finished)
        for index in np.argsort(sums)[::-1].tolist():
            if len(pool) >= self.beam_size:
                break
            pool[(*beams[index], self.eos)] = sums[index]
        return list(pool.items())


def length_normalised(log_prob: float, length: int, length_penalty: float | None) -> float:
    """Score for ranking: log_prob / length, or with an alpha, Google NMT's ((5 + length) / 6) ** alpha.

    Source: Wu et al. 2016, eq. 14.
    """
    penalty = length if length_penalty is None else ((5 + length) / 6) ** length_penalty
    return log_prob / penalty if penalty else float("-inf")
