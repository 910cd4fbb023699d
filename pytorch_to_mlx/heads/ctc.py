"""Connectionist temporal classification: the loss with its own gradient, by forward-backward in double precision.

Source: Graves et al. 2006, "Connectionist Temporal Classification", sections 3 and 4.
"""

from collections.abc import Sequence
from itertools import pairwise

import mlx.core as mx
import numpy as np

from ..errors import FormatError

_NEVER = -1e30  # the logarithm of a probability of zero; finite, so that differences of two are not NaN


def frames_needed(target: Sequence[int]) -> int:
    """Return the least number of frames for a target: one for each label, and a blank between equal neighbours."""
    return max(1, len(target) + sum(a == b for a, b in pairwise(target)))


def ctc_loss(logits: mx.array, targets: Sequence[Sequence[int]], lengths: Sequence[int], *, blank: int = 0) -> mx.array:
    """Return -log P(target | logits) of each row, the softmax included; frames from `lengths` on have no part in it.

    Computed in float64, which only a CPU has: on a GPU's machine too. The gradient is softmax - posterior, exactly zero
    in padded frames.
    Shapes: logits [B, T, V] -> [B] float32. Raises: FormatError that lists the rows whose length, labels or number of
    labels are impossible.
    """
    _check(logits.shape, targets, lengths, blank)
    lattice = _Lattice(targets, np.array(lengths), logits.shape[1], blank)

    @mx.custom_function
    def loss_and_gradient(x: mx.array) -> tuple[mx.array, mx.array]:
        with mx.stream(mx.cpu):
            losses, gradient = lattice(x.astype(mx.float64))
            return losses.astype(mx.float32), gradient.astype(mx.float32)

    @loss_and_gradient.vjp
    def gradient_of_sum(x: mx.array, cotangents: tuple[mx.array, mx.array], y: tuple[mx.array, mx.array]) -> mx.array:
        return (cotangents[0][:, None, None] * y[1]).astype(x.dtype)

    losses, _ = loss_and_gradient(logits)  # pyright: ignore[reportGeneralTypeIssues]
    return losses


def _check(shape: tuple[int, ...], targets: Sequence[Sequence[int]], lengths: Sequence[int], blank: int) -> None:
    batch, n_frames, n_labels = shape
    if not batch == len(targets) == len(lengths):
        raise FormatError(f"{batch} rows of logits, {len(targets)} targets and {len(lengths)} lengths")
    problems = []
    for row, (target, length) in enumerate(zip(targets, lengths, strict=True)):
        if not 1 <= length <= n_frames:
            problems.append(f"row {row}: {length} frames of {n_frames}")
        elif any(not 0 <= label < n_labels or label == blank for label in target):
            problems.append(f"row {row}: a label outside 0 … {n_labels - 1}, or the blank {blank}")
        elif frames_needed(target) > length:
            problems.append(f"row {row}: {len(target)} labels need {frames_needed(target)} frames, it has {length}")
    if problems:
        raise FormatError("these targets cannot be aligned with their frames", details=problems)


class _Lattice:
    """The states of each row, a blank around every label, once forwards and once backwards.

    labels [2B, L]: of each state; rows B to 2B are the targets from the end. may_skip [2B, L]: 0 where a state can be
    reached from two before it, _NEVER elsewhere. reversed_frames [B, T] and reversed_states [B, L]: indices that turn
    a backward row forwards.
    """

    def __init__(self, targets: Sequence[Sequence[int]], lengths: np.ndarray, n_frames: int, blank: int) -> None:
        self.n_states = np.array([2 * len(target) + 1 for target in targets])
        width = int(self.n_states.max())
        labels = np.full((2, len(targets), width), blank)
        for row, target in enumerate(targets):
            labels[0, row, 1 : 2 * len(target) : 2] = target
            labels[1, row, 1 : 2 * len(target) : 2] = target[::-1]
        self.labels = labels.reshape(-1, width)
        skips = np.zeros(self.labels.shape, bool)
        skips[:, 2:] = (self.labels[:, 2:] != blank) & (self.labels[:, 2:] != self.labels[:, :-2])
        self.may_skip = np.where(skips, 0.0, _NEVER)
        self.lengths = lengths
        frames, states = np.arange(n_frames), np.arange(width)
        self.is_frame = frames < lengths[:, None]  # [B, T]
        self.is_state = states < self.n_states[:, None]  # [B, L]
        self.reversed_frames = np.where(self.is_frame, lengths[:, None] - 1 - frames, frames)
        self.reversed_states = np.where(self.is_state, self.n_states[:, None] - 1 - states, states)

    def __call__(self, logits: mx.array) -> tuple[mx.array, mx.array]:
        """Return the losses and their gradient. Shapes: logits [B, T, V] float64 -> [B], [B, T, V]."""
        batch, n_frames, _ = logits.shape
        log_probs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        reversed_frames = mx.array(self.reversed_frames)[..., None]
        both = mx.concatenate([log_probs, mx.take_along_axis(log_probs, reversed_frames, axis=1)])
        labels = mx.array(self.labels)
        emissions = mx.maximum(mx.take_along_axis(both, labels[:, None], axis=2), _NEVER)  # [2B, T, L]
        scores = self._scan(emissions)
        forward, backward = scores[:batch], scores[batch:]
        last = mx.take_along_axis(forward, mx.array(self.lengths - 1)[:, None, None], axis=1)[:, 0]  # [B, L]
        is_end: np.ndarray = self.is_state & (np.arange(last.shape[1]) >= self.n_states[:, None] - 2)
        total = mx.logsumexp(mx.where(mx.array(is_end), last, _NEVER), axis=-1)
        backward = mx.take_along_axis(backward, reversed_frames, axis=1)
        backward = mx.take_along_axis(backward, mx.array(self.reversed_states)[:, None], axis=2)
        occupancy = mx.exp(forward + backward - emissions[:batch] - total[:, None, None])
        is_part: np.ndarray = self.is_frame[:, :, None] & self.is_state[:, None]
        occupancy = mx.where(mx.array(is_part), occupancy, mx.zeros_like(occupancy))  # [B, T, L]
        rows, frames = mx.arange(batch)[:, None, None], mx.arange(n_frames)[:, None]
        posterior = mx.zeros_like(log_probs).at[rows, frames, labels[:batch, None]].add(occupancy)
        is_frame: np.ndarray = self.is_frame[..., None]
        gradient = mx.where(mx.array(is_frame), mx.exp(log_probs) - posterior, mx.zeros_like(posterior))
        return -total, gradient

    def _scan(self, emissions: mx.array) -> mx.array:
        """Return log P(frames up to t, state at t). Shapes: emissions [2B, T, L] -> [2B, T, L]."""
        n_rows, n_frames, width = emissions.shape
        never = mx.full((n_rows, 2), _NEVER, dtype=mx.float64)
        may_skip = mx.array(self.may_skip, dtype=mx.float64)
        is_start = mx.arange(width) < 2
        score = mx.where(is_start, emissions[:, 0], mx.full((n_rows, width), _NEVER, dtype=mx.float64))
        scores = [score]
        for frame in range(1, n_frames):
            before = mx.concatenate([never, score], axis=1)
            reached = mx.logaddexp(mx.logaddexp(score, before[:, 1:-1]), before[:, :-2] + may_skip)
            score = mx.maximum(reached + emissions[:, frame], _NEVER)
            scores.append(score)
        return mx.stack(scores, axis=1)
