"""The vocoder over a mel spectrogram that arrives in pieces."""

import math

import mlx.core as mx

from ....nn.stream import Stream
from .config import F0_LAYERS, CausalHiftConfig, HiftConfig, Noise
from .hift import Hift


class HiftStream:
    """Run the vocoder piece by piece; all outputs joined are those of `Hift` for the whole mel.

    A sample comes out as soon as all the mel that it depends on is there, about 20 frames after it with the published
    sizes of version 2, and 7 with those of version 3. Nothing is computed twice, and there is nothing to cross-fade.
    """

    def __init__(self, hift: Hift, noise: Noise) -> None:
        self._hift, self._noise = hift, noise
        self._pitch, self._decoder = Stream(), Stream()
        self._pending = mx.zeros((1, 0, hift.config.n_mels))  # mel that is not in the network yet
        self._f0 = mx.zeros((1, 0))
        self._n_samples = 0  # of the source so far

    def feed(self, mel: mx.array) -> mx.array:
        """Return the samples that are now determined. Shapes: mel [1, T, n_mels] -> [1, L], L >= 0."""
        self._pending = mx.concatenate([self._pending, mel], axis=1)
        n_held = lookahead_frames(self._hift.config) if self._pitch.first else 0
        return self._run(final=False) if self._pending.shape[1] > n_held else mx.zeros((1, 0))

    def finish(self) -> mx.array:
        """Return the samples that remain; none if no frame was fed. Shapes: -> [1, L], L >= 0."""
        no_mel = self._pitch.first and not self._pending.shape[1]
        return mx.zeros((1, 0)) if no_mel else self._run(final=True)

    def _run(self, final: bool) -> mx.array:
        mel, self._pending = self._pending, self._pending[:, :0]
        with self._pitch.piece(final) as stream:
            self._f0 = mx.concatenate([self._f0, self._hift.f0_predictor(mel, stream)], axis=1)
        step = self._hift.config.samples_per_frame
        end = self._f0.shape[1] * step - (0 if final else self._hift.source.lag)
        source = self._hift.source(self._f0, self._noise(self._n_samples, end), self._n_samples)
        self._n_samples = end
        with self._decoder.piece(final) as stream:
            audio = self._hift.decode(mel, source, stream)
        mx.eval(audio, self._f0, self._pitch.memory, self._decoder.memory)
        return audio


def lookahead_frames(config: HiftConfig) -> int:
    """Return an upper bound of the frames of mel after a sample that it depends on."""
    if isinstance(config, CausalHiftConfig):
        return config.lookahead + 3

    def reach(kernel: int, dilations: tuple[int, ...]) -> int:
        return sum((kernel - 1) // 2 * (dilation + 1) for dilation in dilations)

    shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
    steps, source = 4.0, 0.0  # steps of this stage (conv_post and its half frame); frames of the source
    for i in reversed(range(len(config.upsample_rates))):
        steps += max(reach(*shape) for shape in shapes)
        per_frame = math.prod(config.upsample_rates[: i + 1])
        own = reach(config.source_resblock_kernel_sizes[i], config.source_resblock_dilation_sizes[i])
        source = max(source, (steps + own + 2) / per_frame)
        steps = (steps + config.upsample_kernel_sizes[i]) / config.upsample_rates[i]
    return math.ceil(max(steps + 3, source + F0_LAYERS + 1))
