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
    the whole signal: a layer gives each output as soon as all its inputs are there. A fresh Stream is at its first and
    last piece, and calls the layers as they are. Each piece must be long enough for every layer to have something to
    give, the first above all. A layer finds its memory again by the order of the calls, the same in each piece.
    """

    def __init__(self) -> None:
        self._memory: list[Any] = []
        self._at, self.first, self.final = 0, True, True

    def copy(self) -> "Stream":
        """Both go on from here, independently."""
        made = Stream()
        made._memory, made.first = list(self._memory), self.first
        return made

    def piece(self, final: bool) -> Self:
        self._at, self.final = 0, final
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.first = False

    @property
    def whole(self) -> bool:
        """This piece is the whole signal."""
        return self.first and self.final

    @property
    def memory(self) -> list[Any]:
        """All that is remembered, for mx.eval."""
        return self._memory

    def recall(self) -> tuple[int, Any]:
        """The place in the memory of the layer that is called now, and what is there; None in the first piece."""
        if self.first:
            self._memory.append(None)
        self._at += 1
        return self._at - 1, self._memory[self._at - 1]

    def conv1d(self, layer: Conv1d, x: mx.array, add: mx.array | None = None) -> mx.array:
        """Shapes: x [B, L, D_in], add [B, L'', D_out] -> [B, L', D_out]."""
        if self.whole:
            return layer(x, add)
        place, kept = self.recall()
        left, right = (layer.padding,) * 2 if isinstance(layer.padding, int) else layer.padding
        left, right = left if kept is None else 0, right if self.final else 0
        x = x if kept is None else mx.concatenate([kept, x], axis=1)
        span = layer.dilation * (layer.weight.shape[1] - 1) + 1
        count = (left + x.shape[1] + right - span) // layer.stride + 1
        if count * layer.stride < left:  # some of the zeros are still to be seen
            x, left = mx.pad(x, [(0, 0), (left, 0), (0, 0)]), 0
        self._memory[place] = mx.contiguous(x[:, count * layer.stride - left :])  # a view would keep all of x
        y = layer(x[:, : (count - 1) * layer.stride + span - left], padding=(left, right))
        return y if add is None else self.add(y, add)

    def conv_transpose1d(self, layer: ConvTranspose1d, x: mx.array) -> mx.array:
        """Shapes: x [B, L, D_in] -> [B, L', D_out]."""
        if self.whole:
            return layer(x)
        place, kept = self.recall()
        start = layer.padding  # of what is new in y
        if kept is not None:
            x, start = mx.concatenate([kept[0], x], axis=1), kept[1]
        size, stride = layer.weight.shape[1], layer.stride
        y = ops.conv_transpose1d(
            x, layer.weight, layer.get("bias"), stride=stride, groups=layer.groups, output_padding=layer.output_padding
        )
        end = y.shape[1] - layer.padding if self.final else x.shape[1] * stride
        used = max(0, -(-(end - size + 1) // stride))  # the first input that counts in outputs after `end`
        self._memory[place] = (mx.contiguous(x[:, used:]), end - used * stride)
        return y[:, start:end]

    def add(self, *arrays: mx.array, scale: float = 1.0) -> mx.array:
        """Their sum, times scale; what is ahead in one waits for the others. Shapes: [B, L_i, D] -> [B, L', D]."""
        if self.whole:
            return ops.add(*arrays, scale=scale)
        place, kept = self.recall()
        if kept is not None:
            both = zip(kept, arrays, strict=True)
            arrays = tuple(mx.concatenate([old, new], axis=1) if old.shape[1] else new for old, new in both)
        count = min(x.shape[1] for x in arrays)
        self._memory[place] = [mx.contiguous(x[:, count:]) for x in arrays]
        return ops.add(*(x[:, :count] for x in arrays), scale=scale)

    def so_far(self, x: mx.array, axis: int = 1) -> mx.array:
        """All steps until now: what attention looks back at. Shapes: L steps along `axis` -> S steps, x the last.

        Each piece is kept as it came and is never moved, so that memory is taken once for every step.
        """
        if self.whole:
            return x
        place, kept = self.recall()
        if not self.final:
            self._memory[place] = (*(kept or ()), mx.contiguous(x))
        return x if kept is None else mx.concatenate([*kept, x], axis)

    def stft(self, x: mx.array, *, n_fft: int, hop_length: int, window: mx.array) -> mx.array:
        """Centred, with reflected edges. Shapes: x [B, L] -> [B, T, n_fft//2 + 1] complex."""
        if self.whole:
            return stft(x, n_fft=n_fft, hop_length=hop_length, window=window)
        place, kept = self.recall()
        half = n_fft // 2
        x = mx.concatenate([x[:, half:0:-1] if kept is None else kept, x], axis=1)
        x = mx.concatenate([x, x[:, -2 : -half - 2 : -1]], axis=1) if self.final else x
        spec = stft(x, n_fft=n_fft, hop_length=hop_length, window=window, center=False)
        self._memory[place] = mx.contiguous(x[:, spec.shape[1] * hop_length :])
        return spec

    def istft(self, spec: mx.array, *, n_fft: int, hop_length: int, window: mx.array) -> mx.array:
        """Shapes: spec [B, T, n_fft//2 + 1] complex -> [B, L]."""
        if self.whole:
            return istft(spec, n_fft=n_fft, hop_length=hop_length, window=window)
        place, kept = self.recall()
        overlap = (n_fft - 1) // hop_length  # earlier frames that reach into a frame's first hop
        start, end = 0, None
        if kept is not None:
            spec, start = mx.concatenate([kept, spec], axis=1), overlap * hop_length - n_fft // 2
        if not self.final:
            end = spec.shape[1] * hop_length - n_fft // 2
        self._memory[place] = mx.contiguous(spec[:, -overlap:])
        return istft(spec, n_fft=n_fft, hop_length=hop_length, window=window)[:, start:end]
