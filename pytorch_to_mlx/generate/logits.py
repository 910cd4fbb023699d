"""Rules that forbid tokens, by setting their logits to -inf in place; the logits are NumPy arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CheckError


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log probabilities over the last axis.

    Shapes: logits [..., V] -> the same.
    Raises: CheckError if the largest value of a row is not finite.
    """
    top = logits.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise CheckError("the model's logits are not finite", fix="validate the converted weights")
    shifted = logits - top
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def suppress(logits: np.ndarray, ids: Sequence[int]) -> None:
    """Forbid the tokens `ids` in every row. Shapes: logits [B, V]."""
    logits[:, ids] = -np.inf


@dataclass(frozen=True)
class TimestampRules:
    """Whisper's rules: timestamps come in pairs, never decrease, and win when together they outweigh every text token.

    begin: id of the first timestamp. eot: id of the end token; the ids of text are below it.
    max_initial: the largest first timestamp, in timestamp steps.
    Source: Radford et al. 2022, section 2.3; openai-whisper, whisper/decoding.py `ApplyTimestampRules`.
    """

    begin: int
    eot: int
    no_timestamps: int
    max_initial: int | None = None

    def apply(self, logits: np.ndarray, sampled: Sequence[Sequence[int]]) -> None:
        """Apply the rules to each row. sampled: the tokens of each row since the start of the transcript.

        Shapes: logits [B, V].
        """
        logits[:, self.no_timestamps] = -np.inf
        for row, tokens in zip(logits, sampled, strict=True):
            last_is_timestamp = len(tokens) >= 1 and tokens[-1] >= self.begin
            second_last_is_timestamp = len(tokens) < 2 or tokens[-2] >= self.begin
            if last_is_timestamp and second_last_is_timestamp:  # a pair is complete: text follows
                row[self.begin :] = -np.inf
            elif last_is_timestamp:  # a segment has ended: the other timestamp of its pair follows, or the end token
                row[: self.eot] = -np.inf
            stamps = [token for token in tokens if token >= self.begin]
            if stamps:  # the second of a pair may equal the first
                may_repeat = last_is_timestamp and not second_last_is_timestamp
                row[self.begin : stamps[-1] + (0 if may_repeat else 1)] = -np.inf
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
