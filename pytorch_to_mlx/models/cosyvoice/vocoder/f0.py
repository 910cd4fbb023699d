"""The pitch of a mel spectrogram.

Reference: ConvRNNF0Predictor and CausalConvRNNF0Predictor, cosyvoice/hifigan/f0_predictor.py@ace7c47.
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.linear import linear
from ....nn.stream import Stream
from .config import HiftConfig


class F0Predictor(nn.Module):
    """Predict the pitch of each frame.

    Computed in float64, on the CPU because GPUs have none: the source adds the pitch up, and where a piece of the mel
    gave another last bit than the whole, the phase would audibly differ.
    """

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        size = config.f0_channels
        self.convs = [
            Float64Conv1d(size if i else config.n_mels, size, kernel, padding=padding)
            for i, (kernel, padding) in enumerate(config.f0_convs)
        ]
        self.classifier = nn.Linear(size, 1)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, T, n_mels] -> [B, T] in Hz, float32."""
        with mx.stream(mx.cpu):
            for conv in self.convs:
                x = ops.elu(stream.conv1d(conv, x.astype(mx.float64)))
            return mx.abs(linear(self.classifier, x)).squeeze(-1).astype(mx.float32)


class Float64Conv1d(Conv1d):
    """A Conv1d of stride 1 in float64, by NumPy: 30 times as fast as MLX with the BLAS of its Linux wheel."""

    def __call__(
        self,
        x: mx.array,
        add: mx.array | None = None,
        padding: int | tuple[int, int] | None = None,
        slope: float | None = None,
    ) -> mx.array:
        """Shapes: x [B, L, D_in], add [B, L', D_out], both float64 -> [B, L', D_out] float64."""
        ends = self.padding if padding is None else padding
        padded = np.pad(np.array(x), [(0, 0), (ends, ends) if isinstance(ends, int) else ends, (0, 0)])
        kernel, bias = self._float64_weights()
        length = padded.shape[1] - len(kernel) + 1
        y = bias + sum(padded[:, k : k + length] @ weight for k, weight in enumerate(kernel))
        y = mx.array(y, dtype=mx.float64)
        y = y if add is None else y + add
        return y if slope is None else ops.leaky_relu(y, slope)

    def _float64_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel [K, D_in, D_out] and bias [D_out], converted once: that takes longer than the product."""
        cached = self.__dict__.get("_cached")  # not an item of the module, which would be a parameter
        if cached is None or cached[0] is not self.weight or cached[1] is not self.bias:
            weight, bias = (np.array(a.astype(mx.float32), dtype=np.float64) for a in (self.weight, self.bias))
            cached = (self.weight, self.bias, np.ascontiguousarray(weight.transpose(1, 2, 0)), bias)
            self.__dict__["_cached"] = cached
        return cached[2:]
