"""Rules that forbid tokens, on NumPy rows of logits, in place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CheckError


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis, float32. Raises CheckError if a row holds NaN or nothing finite."""
    top = logits.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise CheckError("the model's logits are not finite", fix="validate the converted weights")
    shifted = logits - top
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def suppress(logits: np.ndarray, ids: Sequence[int]) -> None:
    """Forbid tokens. Shapes: logits [B, V]."""
    logits[:, ids] = -np.inf


@dataclass(frozen=True)
class TimestampRules:
    """Timestamps come in pairs, never decrease, and win when together they outweigh every text token.

    begin: id of the first timestamp; eot: id of the end token, after which no plain text ids follow.
    max_initial: the largest first timestamp, in steps.
    Source: Radford et al. 2022, section 2.3; openai-whisper, whisper/decoding.py `ApplyTimestampRules`.
    """

    begin: int
    eot: int
    no_timestamps: int
    max_initial: int | None = None

    def apply(self, logits: np.ndarray, sampled: Sequence[Sequence[int]]) -> None:
        """Shapes: logits [B, V]; `sampled` are the tokens of each row since the start of the transcript."""
        logits[:, self.no_timestamps] = -np.inf
        for row, tokens in zip(logits, sampled, strict=True):
            last = len(tokens) >= 1 and tokens[-1] >= self.begin
            penultimate = len(tokens) < 2 or tokens[-2] >= self.begin
            if last and penultimate:  # a pair is complete: text follows
                row[self.begin :] = -np.inf
            elif last:  # a segment has ended: its partner, or the end
                row[: self.eot] = -np.inf
            stamps = [token for token in tokens if token >= self.begin]
            if stamps:
                row[self.begin : stamps[-1] + (0 if last and not penultimate else 1)] = -np.inf
            if not tokens:
                row[: self.begin] = -np.inf
                if self.max_initial is not None:
                    row[self.begin + self.max_initial + 1 :] = -np.inf
            self._prefer_timestamps(row)

    def _prefer_timestamps(self, row: np.ndarray) -> None:
        log_probs = log_softmax(row[None])[0]
        stamps = log_probs[self.begin :]
        top = stamps.max()
        if np.isfinite(top) and top + np.log(np.exp(stamps - top).sum()) > log_probs[: self.begin].max():
            row[: self.begin] = -np.inf
