"""Flow matching: speech tokens to a mel spectrogram, in the voice of a prompt. Du et al. 2024, "CosyVoice 2"."""

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....config import number
from ....errors import UsageError
from ....generate.flow import cosine_schedule, guide, solve
from ....nn.linear import linear
from ....nn.stream import Stream
from ....taps import tap
from .conditioning import check_solver, noise_at, prompt_at
from .unet import Estimator, EstimatorConfig
from .upsample_encoder import Encoder, EncoderConfig, chunk_mask


@dataclass(frozen=True)
class FlowConfig:
    """The numbers are CosyVoice2's. chunk_size: tokens that see each other, and all before them, when streaming."""

    vocab_size: int = 6561
    speaker_dim: int = 192
    n_mels: int = 80
    token_mel_ratio: int = 2
    chunk_size: int = 25
    guidance_rate: float = number(0.7, low=0)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def tiny(cls) -> "FlowConfig":
        return cls(encoder=EncoderConfig.tiny(), estimator=EstimatorConfig.tiny())


class Flow(nn.Module):
    """The mel that follows the prompt's.

    Shapes: tokens [1, L], prompt_tokens [1, P] ints, prompt_mel [1, F, n_mels], speaker [1, speaker_dim],
    noise [1, >= ratio · (P + L), n_mels] -> [1, ratio · (P + L) - F, n_mels].
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.encoder.hidden_size)
        self.speaker_proj = nn.Linear(config.speaker_dim, config.n_mels)
        self.encoder = Encoder(config.encoder, config.token_mel_ratio)
        self.encoder_proj = nn.Linear(config.encoder.hidden_size, config.n_mels)
        self.estimator = Estimator(config.estimator, config.n_mels)

    def __call__(
        self,
        tokens: mx.array,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        streaming: bool = False,
        finalize: bool = True,
        solver: str = "euler",
    ) -> mx.array:
        """streaming: with the mask of a stream. finalize: False if the last tokens are there to be looked at only."""
        config = self.config
        all_tokens = self.checked(mx.concatenate([prompt_tokens, tokens], axis=1))
        chunk = config.chunk_size if streaming else None
        with Stream().piece(finalize) as stream:
            mu = self.encode(all_tokens, stream, chunk=chunk)
        length, frames = mu.shape[1], prompt_mel.shape[1]
        condition = self.condition(mu, self.speaker(speaker), prompt_at(prompt_mel, 0, length))
        mask = chunk_mask(0, length, chunk and chunk * config.token_mel_ratio)

        def velocity(x: mx.array, t: float, _: int) -> mx.array:
            return self.velocity(x, condition, t, Stream(), mask)

        check_solver(solver, steps)
        x = solve(velocity, noise_at(noise, 0, length), cosine_schedule(steps), solver)
        return tap("mel", x[:, frames:])

    def checked(self, tokens: mx.array) -> mx.array:
        """Raises: UsageError if an id is not in the vocabulary. Those under 0 become 0, as in the reference."""
        tokens = mx.maximum(tokens, 0)
        if tokens.size and int(mx.max(tokens)) >= self.config.vocab_size:
            raise UsageError(f"speech token {int(mx.max(tokens))} is not under {self.config.vocab_size}")
        return tokens

    def encode(self, tokens: mx.array, stream: Stream, *, done: int = 0, chunk: int | None = None) -> mx.array:
        """Shapes: tokens [1, L] -> [1, ratio · L, n_mels]."""
        x = self.encoder(self.embedding(tokens), stream, done=done, chunk=chunk)
        return tap("encoder", linear(self.encoder_proj, x))

    def speaker(self, embedding: mx.array) -> mx.array:
        """Shapes: [1, speaker_dim] -> [1, n_mels]."""
        norm = mx.sqrt(mx.sum(mx.square(embedding), axis=-1, keepdims=True))
        return linear(self.speaker_proj, embedding / mx.maximum(norm, 1e-12))

    def condition(self, mu: mx.array, speaker: mx.array, prompt: mx.array) -> mx.array:
        """What the estimator is told, and in the second row nothing, for guidance. Shapes: -> [2, T, 3 · n_mels]."""
        speaker = mx.broadcast_to(speaker[:, None], mu.shape)
        told = mx.concatenate([mu, speaker, prompt], axis=-1)
        return mx.concatenate([told, mx.zeros_like(told)])

    def velocity(self, x: mx.array, condition: mx.array, t: float, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [1, T, n_mels] -> [1, T, n_mels]."""
        both = self.estimator(mx.concatenate([x, x]), condition, t, stream, mask)
        return guide(both[:1], both[1:], self.config.guidance_rate)
