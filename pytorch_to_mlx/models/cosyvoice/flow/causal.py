"""What the flows of versions 2 and 3 share: tokens to mel, whole or chunk by chunk, by the velocity of an estimator.

Du et al. 2024, "CosyVoice 2". Reference: CausalConditionalCFM and the `inference` of CausalMaskedDiffWithXvec and
CausalMaskedDiffWithDiT, cosyvoice/flow/{flow,flow_matching}.py@ace7c47.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ....config import number
from ....errors import UsageError
from ....generate.flow import cosine_schedule, guide, solve
from ....nn.linear import linear
from ....nn.stream import Stream
from ....taps import tap
from ..versions import COSYVOICE2
from .conditioning import check_solver, slice_noise, slice_prompt, unit_length
from .dit import DiTConfig
from .lookahead import LookaheadConfig
from .unet import EstimatorConfig
from .upsample_encoder import EncoderConfig


@dataclass(frozen=True)
class CausalFlowConfig:
    """chunk_size: tokens that attend to each other, and to all before, in a stream."""

    encoder: EncoderConfig | LookaheadConfig
    estimator: EstimatorConfig | DiTConfig
    vocab_size: int = COSYVOICE2.speech_tokens
    speaker_dim: int = 192
    n_mels: int = 80
    token_mel_ratio: int = 2
    chunk_size: int = 25
    guidance_rate: float = number(0.7, low=0)

    def align(self, n_frames: int, n_tokens: int) -> tuple[int, int]:
        """Return how many frames and tokens of a prompt to take, so that they are equally long."""
        n_tokens = min(n_frames // self.token_mel_ratio, n_tokens)
        return self.token_mel_ratio * n_tokens, n_tokens

    def frames(self, n_tokens: int) -> int:
        """Return how many frames of mel so many tokens take."""
        return self.token_mel_ratio * n_tokens


@dataclass
class Condition:
    """What the estimator is given beside x and the time, the same in every step.

    once: what an estimator computes once for each time. Shapes: rows [2, T, 3 · n_mels], one conditional row and one of
    zeros for classifier-free guidance; mask see `chunk_mask`.
    """

    rows: mx.array
    mask: mx.array | None
    tables: tuple[mx.array, mx.array] | None = None
    once: dict[float, Any] = field(default_factory=dict)


class CausalFlow(nn.Module, ABC):
    """Predict the mel that follows the prompt's.

    Shapes: tokens [1, L] and prompt_tokens [1, P] ints, prompt_mel [1, F, n_mels], speaker [1, speaker_dim],
    noise [1, >= ratio · (P + L), n_mels] -> [1, ratio · (P + L) - F, n_mels].
    """

    def __init__(self, config: CausalFlowConfig, embedding_size: int) -> None:
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(config.vocab_size, embedding_size)
        self.speaker_proj = nn.Linear(config.speaker_dim, config.n_mels)

    @property
    def config(self) -> CausalFlowConfig:
        """The sizes that it was built with."""
        return self._config

    @abstractmethod
    def encode(self, tokens: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Return a coarse mel of the tokens, which follow `offset` earlier ones.

        Shapes: tokens [1, L] -> [1, ratio · L, n_mels].
        """

    @abstractmethod
    def condition(
        self,
        mu: mx.array,
        speaker: mx.array,
        prompt: mx.array,
        *,
        start: int = 0,
        chunk: int | None = None,
        previous: Condition | None = None,
    ) -> Condition:
        """Return what the estimator is given for these frames, which follow `start` earlier ones.

        Args:
            chunk: frames see no further than the end of their chunk
            previous: of the frames before
        Shapes: mu and prompt [1, T, n_mels], speaker [1, n_mels].
        """

    @abstractmethod
    def estimate(self, x: mx.array, condition: Condition, t: float, stream: Stream) -> mx.array:
        """Return the velocities at time t, conditional and not. Shapes: x [2, T, n_mels] -> [2, T, n_mels]."""

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
        prompt = slice_prompt(prompt_mel, 0, length)
        condition = self.condition(
            mu, self.project_speaker(speaker), prompt, chunk=chunk and chunk * config.token_mel_ratio
        )

        def velocity(x: mx.array, t: float, _: int) -> mx.array:
            return self.velocity(x, condition, t, Stream())

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

    def project_speaker(self, embedding: mx.array) -> mx.array:
        """Project the speaker's embedding, scaled to length 1. Shapes: [1, speaker_dim] -> [1, n_mels]."""
        return linear(self.speaker_proj, unit_length(embedding))

    def velocity(self, x: mx.array, condition: Condition, t: float, stream: Stream) -> mx.array:
        """Return the guided velocity at time t. Shapes: x [1, T, n_mels] -> [1, T, n_mels]."""
        both = self.estimate(mx.concatenate([x, x]), condition, t, stream)
        return guide(both[:1], both[1:], self.config.guidance_rate)


def guided_rows(*parts: mx.array) -> mx.array:
    """Return parts side by side, and a row of zeros. Shapes: each [1, T, D_i] or [1, D_i] -> [2, T, sum of D_i]."""
    length = max(part.shape[1] for part in parts if part.ndim == 3)
    wide = [part if part.ndim == 3 else mx.broadcast_to(part[:, None], (1, length, part.shape[-1])) for part in parts]
    conditional = mx.concatenate(wide, axis=-1)
    return mx.concatenate([conditional, mx.zeros_like(conditional)])
