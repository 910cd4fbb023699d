"""The greatest logits of one row, exactly, while reading a quarter of the weights.

A step of greedy search with one sentence takes as long as its weights take to read, half of them those of the output
layer. An 8-bit copy names the tokens that can be the greatest, and only their logits are computed from the weights.
By the inequality of Cauchy and Schwarz, a logit x·w differs from that of the copy by at most ‖x‖ ‖w - copy‖: where
another token might be greater, the whole layer is computed as without a copy.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..backend import ops
from ..backend.native import kernels

PAYS_FROM = 128  # steps of one layer: making the copy takes as long as so many gain
LEAST_BYTES = 1 << 24  # of a weight: smaller ones stay in the caches
N_MORE = 15  # tokens that are looked at, beyond those that are asked for
GROUP_SIZE, BITS = 64, 8
CHUNK = 4096  # tokens at a time, so that the copy's making takes no memory to speak of

Packed = tuple[mx.array, mx.array, mx.array]


@dataclass(frozen=True)
class Screen:
    """The 8-bit copy of a weight.

    error: the most that a logit of it is off for an x of length 1, rounding included. rounding: the most that two
    logits of the weight itself can be wrong about their order by.
    Shapes: weight [V, D] float32, packed as mx.quantize returns it.
    """

    weight: mx.array
    packed: Packed
    error: float
    rounding: float

    @classmethod
    def of(cls, weight: mx.array) -> "Screen":
        """Make the copy. Shapes: weight [V, D]."""
        parts: list[Packed] = []
        distance = length = 0.0
        for start in range(0, weight.shape[0], CHUNK):
            part = weight[start : start + CHUNK]
            packed = mx.quantize(part, group_size=GROUP_SIZE, bits=BITS)
            off = part - mx.dequantize(*packed, group_size=GROUP_SIZE, bits=BITS)
            distances, lengths = mx.linalg.norm(off, axis=1).max(), mx.linalg.norm(part, axis=1).max()
            mx.eval(packed, distances, lengths)
            parts.append(packed)
            distance, length = max(distance, float(distances)), max(length, float(lengths))
        weights, scales, biases = (mx.concatenate(list(kind)) for kind in zip(*parts, strict=True))
        mx.eval(weights, scales, biases)
        # A sum of D products is off by at most D roundings of ‖x‖ ‖w‖ (Higham 2002, section 3.1); two are compared.
        # The copy's sum has terms of several times that size, which cancel: packed numbers are not around zero.
        rounding = 2 * weight.shape[1] * 2.0**-24 * length
        return cls(weight, (weights, scales, biases), distance + 4 * rounding, rounding)

    def best(self, x: mx.array, bias: mx.array | None, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the greatest logits and their ids, as `linear_topk` does, or None where they are not certain.

        Shapes: x [1, D], bias [V] -> [1, count], [1, count] int32.
        """
        n = min(count + N_MORE, self.weight.shape[0])
        copied, ids, _ = ops.quantized_topk(x, *self.packed, bias, count=n, group_size=GROUP_SIZE, bits=BITS)
        rows = ids[0]
        exact = self.weight[rows] @ x[0]
        exact = exact if bias is None else exact + bias[rows]
        length = mx.linalg.norm(x)
        mx.eval(copied, ids, exact, length)
        logits, places, size = np.array(exact), np.array(rows), float(length)
        order = np.lexsort((places, -logits))[: count + 1]
        top = logits[order]
        others = float(np.array(copied)[0, -1]) + size * self.error  # no token that is not looked at is above this
        gaps = top[:-1] - top[1:]
        if not (top[count - 1] > others and (gaps > size * self.rounding).all()):
            return None
        return top[None, :count], places[order][None, :count]


@dataclass
class _Screening:
    """What a layer keeps: the steps so far, and its screen once these are enough."""

    n_steps: int = 0
    screen: Screen | None = None


def screen_of(layer: nn.Linear | nn.Embedding) -> Screen | None:
    """Return the screen of a layer, if it has made enough steps and is of a kind that gains: float32 on the CPU."""
    weight = layer.weight
    if weight.dtype != mx.float32 or weight.nbytes < LEAST_BYTES or weight.shape[1] % GROUP_SIZE or not kernels():
        return None
    screening = vars(layer).setdefault("_screening", _Screening())
    screening.n_steps += 1
    if screening.n_steps < PAYS_FROM:
        return None
    if screening.screen is None or screening.screen.weight is not weight:
        screening.screen = Screen.of(weight)
    return screening.screen
