"""Silero VAD: the magnitudes of a short-time Fourier transform, four convolutions, an LSTM and one number.

Each chunk of 32 ms is classified together with the end of the chunk before it; only the LSTM has state from chunk to
chunk. Reference: silero-vad 6.2.3 (silero_vad.jit).
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...backend import ops
from ...cancel import check_cancelled
from ...errors import UsageError
from ...nn.conv import Conv1d
from ...nn.linear import linear
from ...nn.lstm import LSTM, LSTMState
from ...taps import tap
from .config import CHUNK_S, Config

HIDDEN = 128
BLOCK = 1024  # chunks whose features are computed at once, so that memory does not grow with the recording


class Network(nn.Module):
    """The network of one sample rate; in samples, the window of the transform (16 ms) differs between rates."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.chunk = round(CHUNK_S * sample_rate)
        self.context = self.chunk // 8
        window = self.chunk // 2
        frame = np.arange(self.context + self.chunk)
        self._frame = np.concatenate([frame, frame[-2 : -2 - self.context : -1]])  # the end is mirrored
        self.stft = Conv1d(1, window + 2, window, stride=window // 2, bias=False)
        self.encoder = [
            Conv1d(window // 2 + 1, 128, 3, padding=1),
            Conv1d(128, 64, 3, stride=2, padding=1),
            Conv1d(64, 64, 3, stride=2, padding=1),
            Conv1d(64, HIDDEN, 3, padding=1),
        ]
        self.lstm = LSTM(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, 1)

    def features(self, frames: mx.array) -> mx.array:
        """Return the features of each frame. Shapes: frames [N, chunk + 2 · context, 1] in samples -> [N, 1, D]."""
        x = tap("magnitude", mx.sqrt(ops.power(self.stft(frames))))  # [N, 4, F]
        for layer in self.encoder:
            x = layer(x, slope=0.0)  # with ReLU; [N, 4, D], [N, 2, D], [N, 1, D], [N, 1, D]
        return x

    def frames(self, audio: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Return each chunk after the end of the one before, its own end mirrored.

        In NumPy: on one chunk of a stream, each call of MLX costs as much as the arithmetic.
        Shapes: audio [B, L], context [B, K] -> [B, N, chunk + 2 · context].
        """
        starts = np.arange(0, audio.shape[1], self.chunk)[:, None]
        return np.concatenate([context, audio], axis=1)[:, self._frame + starts]

    def step(self, frames: mx.array, state: LSTMState) -> tuple[mx.array, LSTMState]:
        """Return the probability of speech in the next chunks of a stream, and the LSTM's state after them.

        Shapes: frames [N, chunk + 2 · context, 1] in samples -> [1, N].
        """
        hidden, state = self.lstm.steps(self.features(frames.astype(self.stft.weight.dtype)).swapaxes(0, 1), state)
        return self.classify(hidden), state

    def encode(self, audio: np.ndarray, context: np.ndarray) -> mx.array:
        """Return the features of all chunks, computed block by block.

        Shapes: audio [B, L], context [B, K] -> [B, N, D].
        """
        frames = self.frames(audio, context)
        batch, count, width = frames.shape
        frames = mx.array(frames.reshape(batch * count, width, 1)).astype(self.stft.weight.dtype)
        if batch * count <= BLOCK:
            return tap("features", self.features(frames).reshape(batch, count, HIDDEN))
        parts = [self.features(frames[start : start + BLOCK]) for start in range(0, batch * count, BLOCK)]
        for part in parts:
            check_cancelled()
            mx.eval(part)
        return tap("features", mx.concatenate(parts).reshape(batch, count, HIDDEN))

    def classify(self, hidden: mx.array) -> mx.array:
        """Return the probability of speech. Shapes: hidden [B, N, D] -> [B, N]."""
        logits = linear(self.output, ops.leaky_relu(tap("hidden", hidden), 0.0)).squeeze(-1)
        return tap("probability", ops.sigmoid(logits))


class Model(nn.Module):
    """The networks of all sample rates."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        for rate in config.sample_rates:
            setattr(self, name_of(rate), Network(rate))

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def network(self, sample_rate: int) -> Network:
        """Return the network of a sample rate. Raises: UsageError if this checkpoint has none for it."""
        if sample_rate not in self.config.sample_rates:
            rates = " and ".join(map(str, self.config.sample_rates))
            raise UsageError(
                f"the model has no network for {sample_rate} Hz",
                fix=f"it has one for {rates} Hz; packaged:silero-vad has both",
            )
        return getattr(self, name_of(sample_rate))

    def __call__(self, audio: mx.array | np.ndarray, sample_rate: int = 16000) -> mx.array:
        """Return the probability of speech in each chunk of a whole recording.

        Shapes: audio [B, L] in samples, L a multiple of the chunk -> [B, L / chunk]. Raises: what `network` raises.
        """
        network = self.network(sample_rate)
        samples = np.asarray(audio, np.float32)
        context = np.zeros((len(samples), network.context), np.float32)
        return network.classify(network.lstm(network.encode(samples, context)))


def name_of(sample_rate: int) -> str:
    """Return the name of a rate's network in the model: net16k or net8k."""
    return f"net{sample_rate // 1000}k"
