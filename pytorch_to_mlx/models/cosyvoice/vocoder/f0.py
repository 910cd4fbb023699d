"""The pitch of a mel spectrogram."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.linear import linear
from ....nn.stream import Stream
from .config import HiftConfig

F0_LAYERS = 5


class F0Predictor(nn.Module):
    """Pitch by frame. Shapes: mel [B, T, n_mels] -> [B, T] in Hz, float32.

    In float64 until the end: the source sums the pitch up, and a last bit that came out otherwise in another piece of
    the mel would be heard as another phase. Hence the CPU stream: GPUs have no float64.
    """

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        size = config.f0_channels
        self.convs = [WideConv1d(size if i else config.n_mels, size, 3, padding=1) for i in range(F0_LAYERS)]
        self.classifier = nn.Linear(size, 1)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        with mx.stream(mx.cpu):
            for conv in self.convs:
                x = ops.elu(stream.conv1d(conv, x.astype(mx.float64)))
            return mx.abs(linear(self.classifier, x)).squeeze(-1).astype(mx.float32)


class WideConv1d(Conv1d):
    """A Conv1d of stride 1 in float64 by NumPy, which is 30 times as fast as MLX with the BLAS of its Linux wheel."""

    def __call__(
        self, x: mx.array, add: mx.array | None = None, padding: int | tuple[int, int] | None = None
    ) -> mx.array:
        ends = self.padding if padding is None else padding
        wide = np.pad(np.array(x), [(0, 0), (ends, ends) if isinstance(ends, int) else ends, (0, 0)])
        taps, bias = self._wide()
        length = wide.shape[1] - len(taps) + 1
        y = bias + sum(wide[:, k : k + length] @ tap for k, tap in enumerate(taps))
        y = mx.array(y, dtype=mx.float64)
        return y if add is None else y + add

    def _wide(self) -> tuple[np.ndarray, np.ndarray]:
        """Shapes: -> [K, D_in, D_out], [D_out]. Made once: it takes longer than the product."""
        kept = self.__dict__.get("_made")
        if kept is None or kept[0] is not self.weight or kept[1] is not self.bias:
            weight, bias = (np.array(a.astype(mx.float32), dtype=np.float64) for a in (self.weight, self.bias))
            kept = (self.weight, self.bias, np.ascontiguousarray(weight.transpose(1, 2, 0)), bias)
            self.__dict__["_made"] = kept
        return kept[2:]
