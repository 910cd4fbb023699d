"""Whisper's encoder as a frozen trunk: its layers for a clip at its own length, and the hash that heads go by."""

from collections.abc import Sequence
from hashlib import sha256

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ...audio.mel import whisper_log_mel
from ...backend import ops
from ...errors import FormatError, UsageError
from .model import AudioEncoder, Model
from .transcribe import HOP_LENGTH, SAMPLE_RATE

_NORM_EPS = 1e-5
_MIN_SAMPLES = 4 * HOP_LENGTH  # two frames of the encoder


class EncoderTrunk:
    """What `heads.features.Trunk` asks for: layers 0 (the convolutions, with positions) to n, each normalised."""

    def __init__(self, model: Model) -> None:
        self.encoder, self.sample_rate = model.encoder, SAMPLE_RATE
        self.width, self.depth = model.config.n_audio_state, model.config.n_audio_layer
        self.n_mels, self.n_positions = model.config.n_mels, model.config.n_audio_ctx
        self.max_s = self.n_positions * 2 * HOP_LENGTH / SAMPLE_RATE
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """Return the sha256 of the encoder's weights, whatever type they have in memory."""
        if self._digest is None:
            digest = sha256()
            weights: dict[str, mx.array] = dict(tree_flatten(self.encoder.parameters()))
            for name in sorted(weights):
                digest.update(f"{name} {weights[name].shape}\n".encode())
                digest.update(np.array(weights[name].astype(mx.float32)).data)
            self._digest = digest.hexdigest()
        return self._digest

    def encode(self, samples: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        """Return layers of a clip at its own length, one frame for each 20 ms that has begun.

        Shapes: samples [L] at 16 kHz -> [T, layers, width] float32.
        Raises: FormatError for a clip that is too short or longer than the window, UsageError for a layer that is not
        there.
        """
        if not set(layers) <= set(range(self.depth + 1)):
            raise UsageError(f"layers {list(layers)}: this trunk has 0 to {self.depth}")
        if len(samples) < _MIN_SAMPLES:
            raise FormatError(f"{len(samples)} samples are too few for a frame")
        mel = whisper_log_mel(samples, self.n_mels)
        if -(-mel.shape[0] // 2) > self.n_positions:
            raise FormatError(f"{len(samples) / SAMPLE_RATE:.1f} s are longer than the window of the model")
        wanted = layer_outputs(self.encoder, mel[None], max(layers))
        return np.array(mx.stack([wanted[layer] for layer in layers], axis=2)[0].astype(mx.float32))


def layer_outputs(encoder: AudioEncoder, mel: mx.array, last: int) -> list[mx.array]:
    """Return the normalised output of layers 0 to `last`, with as many positions as there are frames.

    Normalised without scale and shift, so that every layer fits float16.
    Shapes: mel [B, 2T, M] -> [B, T, D] each.
    """
    conv1, conv2 = encoder.conv1, encoder.conv2
    x = ops.gelu(ops.conv1d(mel.astype(conv1.weight.dtype), conv1.weight, conv1.bias, padding=1))
    x = ops.gelu(ops.conv1d(x, conv2.weight, conv2.bias, stride=2, padding=1))
    x = x + encoder.positional_embedding[: x.shape[1]]
    outputs = [x]
    for block in encoder.blocks[:last]:
        outputs.append(block(outputs[-1]))
    return [ops.layer_norm(output, None, None, _NORM_EPS) for output in outputs]
