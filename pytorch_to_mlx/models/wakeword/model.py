"""openWakeWord's chain: mel spectrogram, Google's speech embedding, keyword classifiers.

Lin et al. 2020, "Training Keyword Spotters with Limited and Synthesized Speech Data", section 3, is the embedding.
Reference: dscripka/openWakeWord, openwakeword/utils.py `AudioFeatures` and openwakeword/train.py.

The embedding network uses no padding in time and its strides multiply to eight rows, one frame of audio. So it need
not start anew for every frame, as the reference does: each convolution keeps the two rows before, and computes new ones
only. The numbers are those of the whole window.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...backend import ops
from ...nn.conv import Conv1d
from ...nn.linear import layer_norm, linear
from ...nn.lstm import BiLSTM
from ...taps import tap
from .config import FRAME, FRAME_ROWS, HOP_LENGTH, N_FFT, N_MELS, OVERLAP, START_FEATURES, WINDOW, Config, Keyword

LOWEST_POWER, RANGE_DB = 1e-10, 80.0
SLOPE, FLOOR = 0.2, -0.4  # of the embedding's activation
VERIFIED_FROM = 0.5


class State(NamedTuple):
    """What a stream has to remember. rows: of each convolution over time, what came before; None before the start.

    Shapes: samples [B, 480], or [B, 0] at the start; rows [B, 2, W, D] each; features [B, F, D].
    """

    samples: mx.array
    rows: list[mx.array] | None
    features: mx.array


class Mel(nn.Module):
    """Mel power in bels, not more than 8 (80 dB) under the loudest of the call, plus 2.

    The transform is the reference's: a convolution with windowed sines and cosines.
    Shapes: samples [R, L] as 16-bit numbers -> [R, (L - 512) // 160 + 1, 32] float32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft = Conv1d(1, N_FFT + 2, N_FFT, stride=HOP_LENGTH, bias=False)
        self.filters = mx.random.uniform(0, 0.01, (N_FFT // 2 + 1, N_MELS))

    def __call__(self, samples: mx.array) -> mx.array:
        spec = self.stft(samples[..., None].astype(mx.float32))  # [R, T, 514]
        real, imag = mx.split(mx.square(spec), 2, axis=-1)
        power = mx.maximum((real + imag) @ self.filters.astype(mx.float32), LOWEST_POWER)
        bels = mx.log10(power) + 2.0
        return mx.maximum(bels, bels.max(axis=(1, 2), keepdims=True) - RANGE_DB / 10)


class Conv2d(nn.Module):
    """A convolution without padding in time and, if it is wider than one mel bin, with padding in mel.

    Shapes: x [B, T, W, D_in] -> [B, T - KH + 1, W, D_out].
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], *, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))
        self.weight = mx.random.uniform(-bound, bound, (out_channels, *kernel_size, in_channels))
        if bias:
            self.bias = mx.zeros(out_channels)

    def __call__(self, x: mx.array) -> mx.array:
        return ops.conv2d(x, self.weight, self.get("bias"), padding=(0, self.weight.shape[2] // 2))


POOLS = {2: (2, 2), 6: (1, 2), 10: (2, 2), 14: (1, 2), 18: (2, 2)}
"""After these convolutions: the largest of (rows, mel bins)."""


class Embedding(nn.Module):
    """Google's speech embedding: twenty convolutions, alternating over mel and over time, and five poolings.

    Shapes: mel [B, T, 32] -> [B, (T - 76) // 8 + 1, D], T at least 76 and 4 more than a multiple of 8; with `before`,
    the rows that the last call gave, T a multiple of 8 -> [B, T // 8, D].
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.convs = [Conv2d(1, first, (3, 3)), Conv2d(first, first, (1, 3)), Conv2d(first, first, (3, 1))]
        width = first
        for wider in channels[1:]:
            self.convs += [Conv2d(width, wider, (1, 3)), Conv2d(wider, wider, (3, 1))]
            self.convs += [Conv2d(wider, wider, (1, 3)), Conv2d(wider, wider, (3, 1))]
            width = wider
        self.convs.append(Conv2d(last, last, (3, 1), bias=False))

    def __call__(self, mel: mx.array, before: list[mx.array] | None = None) -> tuple[mx.array, list[mx.array]]:
        x = mel[..., None].astype(self.convs[0].weight.dtype)  # [B, T, 32, 1]
        kept: list[mx.array] = []
        floor = mx.array(FLOOR, x.dtype)
        for number, conv in enumerate(self.convs):
            if conv.weight.shape[1] > 1:  # over time
                if before is not None:
                    x = mx.concatenate([before[len(kept)], x], axis=1)
                kept.append(x[:, -2:])
            x = conv(x)
            if number in POOLS:  # before the activation, which keeps the order: it has fewer numbers to go through
                x = max_pool(x, *POOLS[number])
            if number + 1 < len(self.convs):
                x = mx.maximum(ops.leaky_relu(x, SLOPE), floor)
            if number in POOLS:
                x = started(x)
        return x.squeeze(2), kept  # [B, N, D]


def started(x: mx.array) -> mx.array:
    """x, its computation begun while the graph of what follows is still written down: a frame has little to compute."""
    mx.async_eval(x)
    return x


def max_pool(x: mx.array, rows: int, bins: int) -> mx.array:
    """The largest of neighbouring rows and bins. Shapes: x [B, T, W, D] -> [B, T // rows, W // bins, D]."""
    batch, length, width, depth = x.shape
    return x.reshape(batch, length // rows, rows, width // bins, bins, depth).max(axis=(2, 4))


class Dense(nn.Module):
    """Linear layers with ReLU, and a layer norm before it in some classifiers. Shapes: [..., D_in] -> [..., V]."""

    def __init__(self, sizes: tuple[int, ...], *, norm: bool) -> None:
        super().__init__()
        self.linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        if norm:
            self.norms = [nn.LayerNorm(size) for size in sizes[1:-1]]

    def __call__(self, x: mx.array) -> mx.array:
        for number, layer in enumerate(self.linears[:-1]):
            x = linear(layer, x)
            if "norms" in self:
                x = layer_norm(self.norms[number], x)
            x = ops.leaky_relu(x, 0.0)  # ReLU, in one operation
        return linear(self.linears[-1], x)


class Classifier(nn.Module):
    """A keyword's score from the last embeddings. Shapes: x [B, N, num_frames, D] -> [B, N, labels] float32."""

    def __init__(self, keyword: Keyword, feature_size: int) -> None:
        super().__init__()
        self.num_frames = keyword.num_frames
        flat, classes = keyword.num_frames * feature_size, len(keyword.labels)
        if keyword.kind == "rnn":
            widths = [feature_size, *(2 * size for size in keyword.hidden_sizes)]
            self.lstms = [BiLSTM(i, o) for i, o in zip(widths[:-1], keyword.hidden_sizes, strict=True)]
            self.out = nn.Linear(widths[-1], classes)
        else:
            self.dense = Dense((flat, *keyword.hidden_sizes, classes), norm=keyword.layer_norm)
        if keyword.verifier_sizes:
            self.verifier = Dense((flat, *keyword.verifier_sizes, classes), norm=keyword.layer_norm)

    def logits(self, x: mx.array) -> mx.array:
        if "lstms" not in self:
            return self.dense(x.flatten(2))
        y = x.flatten(0, 1)  # [B · N, num_frames, D]
        for lstm in self.lstms:
            y = lstm(y)
        return linear(self.out, y[:, -1]).reshape(*x.shape[:2], -1)

    def __call__(self, x: mx.array) -> mx.array:
        logits = self.logits(x).astype(mx.float32)
        if logits.shape[-1] > 1:
            return ops.softmax(mx.maximum(logits, 0))
        score = ops.sigmoid(logits)
        if "verifier" not in self:
            return score
        verified = ops.sigmoid(self.verifier(x.flatten(2)).astype(mx.float32))
        return mx.where(score >= VERIFIED_FROM, verified, score)


class Model(nn.Module):
    """The whole chain over a stream, in frames of 80 ms.

    Shapes: samples [B, 1280 · N] as 16-bit numbers -> {keyword: [B, N, labels]} and the state for what follows.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mel = Mel()
        self.embedding = Embedding(config.channels)
        self.keywords = {k.name: Classifier(k, config.channels[-1]) for k in config.keywords}
        self._config = config

    def __call__(self, samples: mx.array, state: State | None = None) -> tuple[dict[str, mx.array], State]:
        state = self.start(samples.shape[0]) if state is None else state
        features, state = self.features(samples, state)
        count = samples.shape[1] // FRAME
        scores = {
            name: started(classifier(windows(features, classifier.num_frames, count)))
            for name, classifier in self.keywords.items()
        }
        if scores:
            tap("scores", mx.concatenate(list(scores.values()), axis=-1))
        return scores, state

    def start(self, batch: int = 1) -> State:
        """The state of a stream that has heard nothing: as the reference, with the embeddings of noise."""
        rows = self.mel(mx.array(noise())[None])[:, : WINDOW + (START_FEATURES - 1) * FRAME_ROWS]
        features, _ = self.embedding(rows)
        return State(mx.zeros((batch, 0)), None, mx.repeat(features, batch, axis=0))

    def features(self, samples: mx.array, state: State) -> tuple[mx.array, State]:
        """The embeddings kept by `state` and the new ones. Shapes: samples [B, 1280 · N] -> [B, F + N, D]."""
        batch = samples.shape[0]
        rows, joined = [], mx.concatenate([state.samples, samples.astype(mx.float32)], axis=1)
        if state.rows is None:  # the first frame has no samples before it, and the rows before its five are ones
            rows = [mx.ones((batch, WINDOW - 5, N_MELS)), self.mel(joined[:, :FRAME])]
            joined = joined[:, FRAME - OVERLAP :]
        count = (joined.shape[1] - OVERLAP) // FRAME
        if count:
            frames = mx.as_strided(
                mx.contiguous(joined), (batch, count, FRAME + OVERLAP), (joined.shape[1], FRAME, 1)
            ).reshape(batch * count, -1)
            rows.append(self.mel(frames).reshape(batch, count * FRAME_ROWS, N_MELS))
        mel = mx.concatenate(rows, axis=1) if len(rows) > 1 else rows[0]
        new, kept = self.embedding(started(tap("mel", mel)), state.rows)
        features = mx.concatenate([state.features, started(tap("embedding", new))], axis=1)
        return features, State(joined[:, -OVERLAP:], kept, features[:, -START_FEATURES:])


def noise() -> np.ndarray:
    """Four seconds, as 16-bit numbers; always the same, where the reference draws anew. Shapes: -> [64000] float32."""
    # The numbers of RandomState never change between versions of NumPy.
    return np.random.RandomState(0).randint(-1000, 1000, 64_000).astype(np.float32)


def windows(features: mx.array, size: int, count: int) -> mx.array:
    """The last `count` runs of `size` embeddings. Shapes: [B, F, D] -> [B, count, size, D]."""
    batch, total, width = features.shape
    if count == 1:
        return features[:, None, -size:]
    strides = (total * width, width, width, 1)
    offset = (total - size - count + 1) * width
    return mx.as_strided(mx.contiguous(features), (batch, count, size, width), strides, offset)
