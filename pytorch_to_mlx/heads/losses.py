"""The loss of each kind of output, over the rows that have a label for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .config import Config, Output
from .ctc import ctc_loss
from .pitch import is_in_range, soft_labels

NO_LABEL = -1  # of a frame, or a clip
Targets = Mapping[str, Sequence[Any]]
"""Of each output and row: labels [S] of CTC, a label of a clip, labels [T] of frames, F0 [T] in Hz; or None."""


def head_loss(config: Config, loss_scales: mx.array, logits: Mapping[str, mx.array], targets: Targets, lengths) -> Any:
    """Return the loss of a batch: of one output its own, of several their sum, each with a scale that is learnt.

    Source: Kendall et al. 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses", eq. 10.
    """
    losses = {
        place: loss
        for place, output in enumerate(config.outputs)
        if (loss := output_loss(output, logits[output.name], targets[output.name], lengths)) is not None
    }
    if len(config.outputs) == 1:
        return losses.get(0, mx.array(0.0))
    parts = [mx.exp(-loss_scales[place]) * loss + loss_scales[place] for place, loss in losses.items()]
    return sum(parts, mx.array(0.0))


def output_loss(output: Output, logits: mx.array, targets: Sequence[Any], lengths: Sequence[int]) -> mx.array | None:
    """Return the mean loss of one output (of CTC by label, of pitch and frames by frame); None without any label.

    Shapes: logits [B, T, V], of a clip [B, V].
    """
    rows = [row for row, target in enumerate(targets) if target is not None]
    if not rows:
        return None
    logits, targets = logits[mx.array(rows)], [targets[row] for row in rows]
    if output.kind == "ctc":
        n_labels = sum(max(1, len(target)) for target in targets)
        return ctc_loss(logits, targets, [lengths[row] for row in rows]).sum() / n_labels
    if output.kind == "clip":
        return nn.losses.cross_entropy(logits, mx.array(targets), reduction="mean")
    if output.kind == "frames":
        return _frames_loss(logits, _padded(targets, logits.shape[1], NO_LABEL).astype(np.int32))
    return _pitch_loss(logits, _padded(targets, logits.shape[1], np.nan))


def _frames_loss(logits: mx.array, labels: np.ndarray) -> mx.array | None:
    """Return the cross entropy of the frames that have a label. Shapes: logits [B, T, V], labels [B, T]."""
    known: np.ndarray = labels >= 0
    if not known.any():
        return None
    losses = nn.losses.cross_entropy(logits, mx.array(labels.clip(0)))
    return (losses * mx.array(known)).sum() / int(known.sum())


def _pitch_loss(logits: mx.array, f0: np.ndarray) -> mx.array | None:
    """Return the cross entropy of voiced frames with soft classes, and that of the voicing of all that are known.

    Shapes: logits [B, T, V], f0 [B, T] in Hz, 0 where unvoiced and NaN where it is not known.
    """
    known, voiced = np.isfinite(f0), is_in_range(f0)
    if not known.any():
        return None
    voicing = nn.losses.binary_cross_entropy(logits[..., -1], mx.array(voiced.astype(np.float32)), with_logits=True)
    loss = (voicing * mx.array(known)).sum() / int(known.sum())
    classes = mx.array(np.stack([soft_labels(row) for row in f0]))
    log_probs = logits[..., :-1] - mx.logsumexp(logits[..., :-1], axis=-1, keepdims=True)
    return loss - (classes * log_probs).sum() / max(1, int(voiced.sum()))


def _padded(rows: Sequence[np.ndarray], n_frames: int, value: float) -> np.ndarray:
    padded = np.full((len(rows), n_frames), value, np.float32)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded
