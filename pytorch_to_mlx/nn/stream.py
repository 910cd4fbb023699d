"""Convolutional networks over a signal that arrives in pieces."""

from typing import Any, Self

import mlx.core as mx

from ..audio.stft import istft, stft
from ..backend import ops
from .conv import Conv1d, ConvTranspose1d


class Stream:
    """What the layers of one network remember between the pieces of one signal, so that nothing is computed twice.

    A network is written once, with its layers called through a Stream, and run piece by piece as
    `with stream.piece(final): y = network(x, stream)`. The outputs of all pieces, joined, are those of one call with
    the whole signal: a layer gives each output as soon as all its inputs have arrived. A new Stream is at its first and
    last piece, and calls the layers as they are. Each piece, above all the first, must be long enough for every layer
    to give some output. A layer is known by its place in the order of calls, which is the same in each piece.
    Source: for every method, the equation of the layer or function it calls, evaluated piece by piece.
    """

    def __init__(self) -> None:
        self._memory: list[Any] = []
        self._n_calls, self.first, self.final = 0, True, True

    def copy(self) -> "Stream":
        """Return a second stream that continues from here independently."""
        twin = Stream()
        twin._memory, twin.first = list(self._memory), self.first
        return twin

    def piece(self, final: bool) -> Self:
        """Begin the next piece; `final` says that the signal ends with it."""
        self._n_calls, self.final = 0, final
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.first = False

    @property
    def whole(self) -> bool:
        """Return whether this piece is the whole signal."""
        return self.first and self.final

    @property
    def memory(self) -> list[Any]:
        """Return all that is remembered, for mx.eval."""
        return self._memory

    def _recall(self) -> tuple[int, Any]:
        """Return the memory slot of the layer that is called now, and what is in it: None in the first piece."""
        if self.first:
            self._memory.append(None)
        self._n_calls += 1
        return self._n_calls - 1, self._memory[self._n_calls - 1]

    def conv1d(self, layer: Conv1d, x: mx.array, add: mx.array | None = None) -> mx.array:
        """Convolve the next piece. Shapes: x [B, L, D_in], add [B, L'', D_out] -> [B, L', D_out]."""
        if self.whole:
            return layer(x, add)
        slot, tail = self._recall()
        left, right = (layer.padding,) * 2 if isinstance(layer.padding, int) else layer.padding
        left, right = left if tail is None else 0, right if self.final else 0
        x = x if tail is None else mx.concatenate([tail, x], axis=1)
        span = layer.dilation * (layer.weight.shape[1] - 1) + 1
        count = (left + x.shape[1] + right - span) // layer.stride + 1
        if count * layer.stride < left:  # the next output still sees some of the zeros
            x, left = mx.pad(x, [(0, 0), (left, 0), (0, 0)]), 0
        self._memory[slot] = mx.contiguous(x[:, count * layer.stride - left :])  # a view would keep all of x alive
        y = layer(x[:, : (count - 1) * layer.stride + span - left], padding=(left, right))
        return y if add is None else self.add(y, add)

    def conv_transpose1d(self, layer: ConvTranspose1d, x: mx.array) -> mx.array:
        """Upsample the next piece. Shapes: x [B, L, D_in] -> [B, L', D_out]."""
        if self.whole:
            return layer(x)
        slot, previous = self._recall()
        start = layer.padding  # of the new outputs in y
        if previous is not None:
            tail, start = previous
            x = mx.concatenate([tail, x], axis=1)
        size, stride = layer.weight.shape[1], layer.stride
        y = ops.conv_transpose1d(
            x, layer.weight, layer.get("bias"), stride=stride, groups=layer.groups, output_padding=layer.output_padding
        )
        end = y.shape[1] - layer.padding if self.final else x.shape[1] * stride
        n_spent = max(0, -(-(end - size + 1) // stride))  # inputs that reach no output from `end` on
        self._memory[slot] = (mx.contiguous(x[:, n_spent:]), end - n_spent * stride)
        return y[:, start:end]

    def add(self, *arrays: mx.array, scale: float = 1.0) -> mx.array:
        """Return the sum of arrays, times scale; what is ahead in one waits for the others.

        Shapes: [B, L_i, D] each -> [B, L', D].
        """
        if self.whole:
            return ops.add(*arrays, scale=scale)
        slot, tails = self._recall()
        if tails is not None:
            pairs = zip(tails, arrays, strict=True)
            arrays = tuple(mx.concatenate([tail, x], axis=1) if tail.shape[1] else x for tail, x in pairs)
        count = min(x.shape[1] for x in arrays)
        self._memory[slot] = [mx.contiguous(x[:, count:]) for x in arrays]
        return ops.add(*(x[:, :count] for x in arrays), scale=scale)

    def history(self, x: mx.array, axis: int = 1) -> mx.array:
        """Return all steps until now, as attention looks back at them.

        Each piece is stored as it came and never moved, so that every step is copied only once.
        Shapes: x has L steps along `axis` -> S steps, of which x's are the last.
        """
        if self.whole:
            return x
        slot, pieces = self._recall()
        if not self.final:
            self._memory[slot] = (*(pieces or ()), mx.contiguous(x))
        return x if pieces is None else mx.concatenate([*pieces, x], axis)

    def stft(self, x: mx.array, *, n_fft: int, hop_length: int, window: mx.array) -> mx.array:
        """Transform the next piece, centred, with reflected edges. Shapes: x [B, L] -> [B, T, n_fft//2 + 1] complex."""
        if self.whole:
            return stft(x, n_fft=n_fft, hop_length=hop_length, window=window)
        slot, tail = self._recall()
        half = n_fft // 2
        x = mx.concatenate([x[:, half:0:-1] if tail is None else tail, x], axis=1)
        x = mx.concatenate([x, x[:, -2 : -half - 2 : -1]], axis=1) if self.final else x
        spec = stft(x, n_fft=n_fft, hop_length=hop_length, window=window, center=False)
        self._memory[slot] = mx.contiguous(x[:, spec.shape[1] * hop_length :])
        return spec

    def istft(self, spec: mx.array, *, n_fft: int, hop_length: int, window: mx.array) -> mx.array:
        """Invert the next piece of an STFT. Shapes: spec [B, T, n_fft//2 + 1] complex -> [B, L]."""
        if self.whole:
            return istft(spec, n_fft=n_fft, hop_length=hop_length, window=window)
        slot, tail = self._recall()
        overlap = (n_fft - 1) // hop_length  # earlier frames that reach into a frame's first hop
        start, end = 0, None
        if tail is not None:
            spec, start = mx.concatenate([tail, spec], axis=1), overlap * hop_length - n_fft // 2
        if not self.final:
            end = spec.shape[1] * hop_length - n_fft // 2
        self._memory[slot] = mx.contiguous(spec[:, -overlap:])
        return istft(spec, n_fft=n_fft, hop_length=hop_length, window=window)[:, start:end]
