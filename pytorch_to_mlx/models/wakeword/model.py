"""openWakeWord: mel spectrogram, Google's speech embedding, keyword classifiers.

Source: Lin et al. 2020, "Training Keyword Spotters with Limited and Synthesized Speech Data", section 3 (embedding).
Reference: dscripka/openWakeWord, openwakeword/utils.py `AudioFeatures` and openwakeword/train.py.

The embedding network has no padding in time and its strides multiply to eight rows, one frame of audio. So it need not
start anew for every frame, as the reference does: each convolution keeps the last two rows of its input and computes
new rows only. The numbers are those of the whole window.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
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
    """The state of a stream: the last samples, the last input rows of each convolution over time, the last embeddings.

    Shapes: samples [B, 480], or [B, 0] at the start; rows [B, 2, W, D] each, or None at the start; features [B, F, D].
    """

    samples: mx.array
    rows: list[mx.array] | None
    features: mx.array


class Mel(nn.Module):
    """The mel spectrogram: log10 of the power, at least its maximum over the call - 8 (80 dB), plus 2.

    Source: the reference's melspectrogram.onnx, whose transform is a convolution with windowed sines and cosines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft = Conv1d(1, N_FFT + 2, N_FFT, stride=HOP_LENGTH, bias=False)
        self.filters = mx.random.uniform(0, 0.01, (N_FFT // 2 + 1, N_MELS))

    def __call__(self, samples: mx.array) -> mx.array:
        """Return mel rows. Shapes: samples [R, L] as 16-bit numbers -> [R, (L - 512) // 160 + 1, 32] float32."""
        spec = self.stft(samples[..., None].astype(mx.float32))  # [R, T, 514]
        power = mx.maximum(ops.power(spec) @ self.filters.astype(mx.float32), LOWEST_POWER)
        bels = mx.log10(power) + 2.0
        return mx.maximum(bels, bels.max(axis=(1, 2), keepdims=True) - RANGE_DB / 10)


class Conv2d(nn.Module):
    """A convolution over time and mel bins, padded only over the bins."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], *, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))
        self.weight = mx.random.uniform(-bound, bound, (out_channels, *kernel_size, in_channels))
        if bias:
            self.bias = mx.zeros(out_channels)

    def __call__(self, x: mx.array, *, activate: bool) -> mx.array:
        """Apply the convolution, then the leaky ReLU or not.

        Shapes: x [B, T, W, D_in] -> [B, T - KH + 1, W, D_out].
        """
        padding = (0, self.weight.shape[2] // 2)
        slope = SLOPE if activate else None
        return ops.conv2d(x, self.weight, self.get("bias"), padding=padding, slope=slope, floor=FLOOR)


POOLS = {2: (2, 2), 6: (1, 2), 10: (2, 2), 14: (1, 2), 18: (2, 2)}
"""Max pooling over (rows, mel bins) after these convolutions."""


class Embedding(nn.Module):
    """Google's speech embedding: twenty convolutions, alternating over mel bins and over time, and five poolings."""

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
        """Return the embeddings, and the last rows of each convolution over time: `before` of the next call.

        Shapes: mel [B, T, 32] -> [B, (T - 76) // 8 + 1, D], T at least 76 and 4 more than a multiple of 8;
        with `before`, T a multiple of 8 -> [B, T // 8, D].
        """
        x = mel[..., None].astype(self.convs[0].weight.dtype)  # [B, T, 32, 1]
        last_rows: list[mx.array] = []
        for number, conv in enumerate(self.convs):
            if conv.weight.shape[1] > 1:  # over time
                if before is not None:
                    x = mx.concatenate([before[len(last_rows)], x], axis=1)
                last_rows.append(x[:, -2:])
            x = conv(x, activate=number + 1 < len(self.convs))
            if number in POOLS:
                x = max_pool(x, *POOLS[number])
        return x.squeeze(2), last_rows  # [B, N, D]


def max_pool(x: mx.array, rows: int, bins: int) -> mx.array:
    """Return the largest of neighbouring rows and bins. Shapes: x [B, T, W, D] -> [B, T // rows, W // bins, D]."""
    batch, length, width, depth = x.shape
    return x.reshape(batch, length // rows, rows, width // bins, bins, depth).max(axis=(2, 4))


class Dense(nn.Module):
    """Linear layers with a ReLU between, and in some classifiers a layer norm before it."""

    def __init__(self, sizes: tuple[int, ...], *, norm: bool) -> None:
        super().__init__()
        self.linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        if norm:
            self.norms = [nn.LayerNorm(size) for size in sizes[1:-1]]

    def __call__(self, x: mx.array) -> mx.array:
        """Return logits. Shapes: x [..., D_in] -> [..., V]."""
        for number, layer in enumerate(self.linears[:-1]):
            if "norms" in self:
                x = ops.leaky_relu(layer_norm(self.norms[number], linear(layer, x)), 0.0)  # ReLU, in one operation
            else:
                x = linear(layer, x, slope=0.0)
        return linear(self.linears[-1], x)


class Classifier(nn.Module):
    """A keyword's score from the last embeddings: dense layers or bidirectional LSTMs, and in some a verifier."""

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
        """Return the logits of the first network. Shapes: x [B, N, num_frames, D] -> [B, N, labels]."""
        if "lstms" not in self:
            return self.dense(x.flatten(2))
        y = x.flatten(0, 1)  # [B · N, num_frames, D]
        for lstm in self.lstms:
            y = lstm(y)
        return linear(self.out, y[:, -1]).reshape(*x.shape[:2], -1)

    def __call__(self, x: mx.array) -> mx.array:
        """Return the scores. Shapes: x [B, N, num_frames, D] -> [B, N, labels] float32."""
        logits = self.logits(x).astype(mx.float32)
        if logits.shape[-1] > 1:
            return ops.softmax(mx.maximum(logits, 0))
        score = ops.sigmoid(logits)
        if "verifier" not in self:
            return score
        verified = ops.sigmoid(self.verifier(x.flatten(2)).astype(mx.float32))
        return mx.where(score >= VERIFIED_FROM, verified, score)


class Model(nn.Module):
    """All networks over a stream, in frames of 80 ms."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mel = Mel()
        self.embedding = Embedding(config.channels)
        self.keywords = {k.name: Classifier(k, config.channels[-1]) for k in config.keywords}
        self._config = config

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with, and its keywords."""
        return self._config

    def replace_keywords(self, classifiers: Mapping[Keyword, Classifier]) -> None:
        """Take these classifiers instead of the present ones. Raises: ValueError for names or labels that repeat."""
        self._config = replace(self._config, keywords=tuple(classifiers))
        self.keywords = {keyword.name: classifier for keyword, classifier in classifiers.items()}

    def __call__(self, samples: mx.array, state: State | None = None) -> tuple[dict[str, mx.array], State]:
        """Return the scores of each keyword in each frame, and the state after the last; None is the start of a stream.

        Shapes: samples [B, 1280 · N] as 16-bit numbers -> [B, N, labels] by keyword.
        """
        state = self.start(samples.shape[0]) if state is None else state
        features, state = self.features(samples, state)
        count = samples.shape[1] // FRAME
        scores = {
            name: classifier(windows(features, classifier.num_frames, count))
            for name, classifier in self.keywords.items()
        }
        if scores:
            tap("scores", mx.concatenate(list(scores.values()), axis=-1))
        return scores, state

    def start(self, batch: int = 1) -> State:
        """Return the state at the start of a stream: as the reference's, with the embeddings of noise."""
        rows = self.mel(mx.array(noise())[None])[:, : WINDOW + (START_FEATURES - 1) * FRAME_ROWS]
        features, _ = self.embedding(rows)
        return State(mx.zeros((batch, 0)), None, mx.repeat(features, batch, axis=0))

    def features(self, samples: mx.array, state: State) -> tuple[mx.array, State]:
        """Return the embeddings of `state` and the new ones, and the next state.

        Shapes: samples [B, 1280 · N] -> [B, F + N, D].
        """
        batch = samples.shape[0]
        rows, joined = [], mx.concatenate([state.samples, samples.astype(mx.float32)], axis=1)
        if state.rows is None:  # the first frame has no samples before it, so five rows; ones are before them
            rows = [mx.ones((batch, WINDOW - 5, N_MELS)), self.mel(joined[:, :FRAME])]
            joined = joined[:, FRAME - OVERLAP :]
        count = (joined.shape[1] - OVERLAP) // FRAME
        if count:
            frames = mx.as_strided(
                mx.contiguous(joined), (batch, count, FRAME + OVERLAP), (joined.shape[1], FRAME, 1)
            ).reshape(batch * count, -1)
            rows.append(self.mel(frames).reshape(batch, count * FRAME_ROWS, N_MELS))
        mel = mx.concatenate(rows, axis=1) if len(rows) > 1 else rows[0]
        new, last_rows = self.embedding(tap("mel", mel), state.rows)
        features = mx.concatenate([state.features, tap("embedding", new)], axis=1)
        return features, State(joined[:, -OVERLAP:], last_rows, features[:, -START_FEATURES:])


def noise() -> np.ndarray:
    """Return four seconds of noise as 16-bit numbers: always the same, where the reference draws new ones.

    Shapes: -> [64000] float32.
    """
    # The numbers of RandomState never change between versions of NumPy.
    return np.random.RandomState(0).randint(-1000, 1000, 64_000).astype(np.float32)


def windows(features: mx.array, size: int, count: int) -> mx.array:
    """Return the windows of `size` embeddings that end at the last `count` ones.

    Shapes: features [B, F, D] -> [B, count, size, D].
    """
    batch, total, width = features.shape
    if count == 1:
        return features[:, None, -size:]
    strides = (total * width, width, width, 1)
    offset = (total - size - count + 1) * width
    return mx.as_strided(mx.contiguous(features), (batch, count, size, width), strides, offset)
