"""The flow of version 1: it sees the whole speech at once, and a regulator stretches tokens to frames.

Du et al. 2024, "CosyVoice". Reference: MaskedDiffWithXvec, InterpolateRegulator and ConditionalCFM,
cosyvoice/flow/{flow,length_regulator,flow_matching}.py@ace7c47.
"""

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....config import number
from ....errors import UsageError
from ....generate.flow import cosine_schedule, guide, solve
from ....nn.conv import Conv1d
from ....nn.linear import linear
from ....taps import tap
from ..conformer import Conformer, ConformerConfig
from ..vocoder.stretch import resize
from .causal import guided_rows
from .conditioning import check_solver, slice_noise, slice_prompt, unit_length
from .two_rate_unet import TwoRateEstimator
from .unet import EstimatorConfig

OVERLAP = 20  # tokens at each end of a window that are stretched by themselves, and that two windows share
LAYERS = 4  # of the regulator


@dataclass(frozen=True)
class RegulatedFlowConfig:
    """The defaults are CosyVoice 1's. token_rate: speech tokens per second; sample_rate and hop_length: of the mel."""

    vocab_size: int = 4096
    speaker_dim: int = 192
    n_mels: int = 80
    token_rate: int = 50
    sample_rate: int = 22050
    hop_length: int = 256
    guidance_rate: float = number(0.7, low=0)
    encoder: ConformerConfig = field(default_factory=ConformerConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def tiny(cls) -> "RegulatedFlowConfig":
        """Return small sizes for tests."""
        return cls(encoder=ConformerConfig(64, 2, 96, 2), estimator=EstimatorConfig.tiny())

    def align(self, n_frames: int, n_tokens: int) -> tuple[int, int]:
        """Return how many frames and tokens of a prompt to take: all, whatever their length."""
        return n_frames, n_tokens

    def frames(self, n_tokens: int) -> int:
        """Return how many frames of mel so many tokens take."""
        return int(n_tokens / self.token_rate * self.sample_rate / self.hop_length)


class Regulator(nn.Module):
    """Smooth what was stretched from tokens to frames: convolutions, each with a norm over everything and mish."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = [Conv1d(channels, channels, 3, padding=1) for _ in range(LAYERS)]
        self.norms = [nn.GroupNorm(1, channels) for _ in range(LAYERS)]
        self.proj = nn.Linear(channels, channels)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [1, T, D] -> [1, T, D]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = ops.mish(ops.group_norm(conv(x), 1, norm.weight, norm.bias, norm.eps))
        return linear(self.proj, x)


class RegulatedFlow(nn.Module):
    """Predict the mel that follows the prompt's.

    Shapes: tokens [1, L] and prompt_tokens [1, P] ints, prompt_mel [1, F, n_mels], speaker [1, speaker_dim],
    noise [1, >= F + frames(L), n_mels] -> [1, frames(L), n_mels].
    """

    def __init__(self, config: RegulatedFlowConfig) -> None:
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(config.vocab_size, config.encoder.hidden_size)
        self.speaker_proj = nn.Linear(config.speaker_dim, config.n_mels)
        self.encoder = Conformer(config.encoder.hidden_size, config.encoder)
        self.encoder_proj = nn.Linear(config.encoder.hidden_size, config.n_mels)
        self.regulator = Regulator(config.n_mels)
        self.estimator = TwoRateEstimator(config.estimator, config.n_mels)

    @property
    def config(self) -> RegulatedFlowConfig:
        """The sizes that it was built with."""
        return self._config

    def __call__(
        self,
        tokens: mx.array,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        solver: str = "euler",
    ) -> mx.array:
        """For the shapes see the class.

        Raises: UsageError for a token outside the vocabulary, too little noise, or an unknown solver.
        """
        mu = self.encode(tokens, prompt_tokens, prompt_mel.shape[1])
        return self.solve(mu, prompt_mel, speaker, noise=noise, steps=steps, solver=solver)

    def encode(self, tokens: mx.array, prompt_tokens: mx.array, n_prompt_frames: int) -> mx.array:
        """Return a coarse mel of the prompt and what follows it. Shapes: -> [1, F + frames(L), n_mels].

        Raises: UsageError for a token outside the vocabulary.
        """
        both = mx.maximum(mx.concatenate([prompt_tokens, tokens], axis=1), 0)  # as the reference does
        if int(mx.max(both)) >= self.config.vocab_size:
            raise UsageError(f"speech token {int(mx.max(both))} is not under {self.config.vocab_size}")
        x = tap("encoder", linear(self.encoder_proj, self.encoder(self.embedding(both))))
        n_prompt = prompt_tokens.shape[1]
        prompt, target = x[:, :n_prompt], x[:, n_prompt:]
        frames, edge = self.config.frames(tokens.shape[1]), self.config.frames(OVERLAP)
        if tokens.shape[1] > 2 * OVERLAP:  # so that what two windows of a stream share has the same frames in both
            parts = [
                resize(target[:, :OVERLAP], edge),
                resize(target[:, OVERLAP:-OVERLAP], frames - 2 * edge),
                resize(target[:, -OVERLAP:], edge),
            ]
        else:
            parts = [resize(target, frames)]
        if n_prompt:
            parts.insert(0, resize(prompt, n_prompt_frames))
        return tap("regulator", self.regulator(mx.concatenate(parts, axis=1)))

    def solve(
        self,
        mu: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        solver: str = "euler",
    ) -> mx.array:
        """Return the mel after the prompt's of a coarse mel of both. Shapes: mu as `encode` gives it.

        Raises: UsageError for too little noise, or an unknown solver.
        """
        check_solver(solver, steps)
        length = mu.shape[1]
        voice = linear(self.speaker_proj, unit_length(speaker))
        condition = guided_rows(mu, voice, slice_prompt(prompt_mel, 0, length))

        def velocity(x: mx.array, t: float, _: int) -> mx.array:
            both = self.estimator(mx.concatenate([x, x]), condition, t)
            return guide(both[:1], both[1:], self.config.guidance_rate)

        x = solve(velocity, slice_noise(noise, 0, length), cosine_schedule(steps), solver)
        return tap("mel", x[:, prompt_mel.shape[1] :])
