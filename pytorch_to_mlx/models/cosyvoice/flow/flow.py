"""Flow matching: speech tokens to a mel spectrogram, in the voice of a prompt. Du et al. 2024, "CosyVoice 2".

Reference: CausalMaskedDiffWithXvec and CausalConditionalCFM, cosyvoice/flow/{flow,flow_matching}.py@ace7c47.
"""

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....config import number
from ....errors import UsageError
from ....generate.flow import cosine_schedule, guide, solve
from ....nn.linear import linear
from ....nn.stream import Stream
from ....taps import tap
from ..conformer import chunk_mask
from ..versions import COSYVOICE2
from .conditioning import check_solver, slice_noise, slice_prompt
from .unet import Estimator, EstimatorConfig
from .upsample_encoder import Encoder, EncoderConfig


@dataclass(frozen=True)
class FlowConfig:
    """The defaults are CosyVoice 2's. chunk_size: tokens that attend to each other, and to all before, in a stream."""

    vocab_size: int = COSYVOICE2.speech_tokens
    speaker_dim: int = 192
    n_mels: int = 80
    token_mel_ratio: int = 2
    chunk_size: int = 25
    guidance_rate: float = number(0.7, low=0)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def tiny(cls) -> "FlowConfig":
        """Return small sizes for tests."""
        return cls(encoder=EncoderConfig.tiny(), estimator=EstimatorConfig.tiny())


class Flow(nn.Module):
    """Predict the mel that follows the prompt's.

    Shapes: tokens [1, L] and prompt_tokens [1, P] ints, prompt_mel [1, F, n_mels], speaker [1, speaker_dim],
    noise [1, >= ratio · (P + L), n_mels] -> [1, ratio · (P + L) - F, n_mels].
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(config.vocab_size, config.encoder.hidden_size)
        self.speaker_proj = nn.Linear(config.speaker_dim, config.n_mels)
        self.encoder = Encoder(config.encoder, config.token_mel_ratio)
        self.encoder_proj = nn.Linear(config.encoder.hidden_size, config.n_mels)
        self.estimator = Estimator(config.estimator, config.n_mels)

    @property
    def config(self) -> FlowConfig:
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
        streaming: bool = False,
        finalize: bool = True,
        solver: str = "euler",
    ) -> mx.array:
        """For the shapes see the class.

        Args:
            streaming: with a stream's attention mask
            finalize: False if the last `lookahead` tokens are context only
        Raises: UsageError for a token outside the vocabulary, too little noise, or an unknown solver.
        """
        check_solver(solver, steps)
        config = self.config
        tokens = self.check_tokens(mx.concatenate([prompt_tokens, tokens], axis=1))
        chunk = config.chunk_size if streaming else None
        with Stream().piece(finalize) as stream:
            mu = self.encode(tokens, stream, chunk=chunk)
        length = mu.shape[1]
        condition = self.condition(mu, self.project_speaker(speaker), slice_prompt(prompt_mel, 0, length))
        mask = chunk_mask(0, length, chunk and chunk * config.token_mel_ratio)

        def velocity(x: mx.array, t: float, _: int) -> mx.array:
            return self.velocity(x, condition, t, Stream(), mask)

        x = solve(velocity, slice_noise(noise, 0, length), cosine_schedule(steps), solver)
        return tap("mel", x[:, prompt_mel.shape[1] :])

    def check_tokens(self, tokens: mx.array) -> mx.array:
        """Return the tokens with negative ids as 0, as the reference does. Shapes: [1, L] -> [1, L].

        Raises: UsageError for an id outside the vocabulary.
        """
        tokens = mx.maximum(tokens, 0)
        if tokens.size and int(mx.max(tokens)) >= self.config.vocab_size:
            raise UsageError(f"speech token {int(mx.max(tokens))} is not under {self.config.vocab_size}")
        return tokens

    def encode(self, tokens: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Return a coarse mel of the tokens, which follow `offset` earlier ones.

        Shapes: tokens [1, L] -> [1, ratio · L, n_mels].
        """
        x = self.encoder(self.embedding(tokens), stream, offset=offset, chunk=chunk)
        return tap("encoder", linear(self.encoder_proj, x))

    def project_speaker(self, embedding: mx.array) -> mx.array:
        """Project the speaker's embedding, scaled to length 1. Shapes: [1, speaker_dim] -> [1, n_mels]."""
        norm = mx.sqrt(mx.sum(mx.square(embedding), axis=-1, keepdims=True))
        return linear(self.speaker_proj, embedding / mx.maximum(norm, 1e-12))

    def condition(self, mu: mx.array, speaker: mx.array, prompt: mx.array) -> mx.array:
        """Return the estimator's conditioning: one conditional row, one zero row for classifier-free guidance.

        Shapes: mu and prompt [1, T, n_mels], speaker [1, n_mels] -> [2, T, 3 · n_mels].
        """
        speaker = mx.broadcast_to(speaker[:, None], mu.shape)
        conditional = mx.concatenate([mu, speaker, prompt], axis=-1)
        return mx.concatenate([conditional, mx.zeros_like(conditional)])

    def velocity(self, x: mx.array, condition: mx.array, t: float, stream: Stream, mask: mx.array | None) -> mx.array:
        """Return the guided velocity at time t.

        Shapes: x [1, T, n_mels], condition [2, T, 3 · n_mels], mask see `chunk_mask` -> [1, T, n_mels].
        """
        both = self.estimator(mx.concatenate([x, x]), condition, t, stream, mask)
        return guide(both[:1], both[1:], self.config.guidance_rate)
