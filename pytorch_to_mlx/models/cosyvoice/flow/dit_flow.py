"""The flow of version 3: a look at the next tokens, and a diffusion transformer. Du et al. 2025, "CosyVoice 3".

Reference: CausalMaskedDiffWithDiT, cosyvoice/flow/flow.py@ace7c47.
"""

from dataclasses import dataclass, field

import mlx.core as mx

from ....nn.rope import rotary_tables
from ....nn.stream import Stream
from ....taps import tap
from ..conformer import chunk_mask
from .causal import CausalFlow, CausalFlowConfig, Condition, guided_rows
from .dit import ROPE_THETA, DiT, DiTConfig
from .lookahead import Lookahead, LookaheadConfig


@dataclass(frozen=True)
class DiTFlowConfig(CausalFlowConfig):
    """The defaults are CosyVoice 3's."""

    encoder: LookaheadConfig = field(default_factory=LookaheadConfig)
    estimator: DiTConfig = field(default_factory=DiTConfig)

    @classmethod
    def tiny(cls) -> "DiTFlowConfig":
        """Return small sizes for tests."""
        return cls(encoder=LookaheadConfig.tiny(), estimator=DiTConfig.tiny())


class DiTFlow(CausalFlow):
    """See `CausalFlow`. The coarse mel is the embedded tokens themselves, each repeated."""

    def __init__(self, config: DiTFlowConfig) -> None:
        super().__init__(config, config.n_mels)
        self._head_dim = config.estimator.head_dim
        self.lookahead = Lookahead(config.n_mels, config.encoder.channels, config.encoder.lookahead)
        self.estimator = DiT(config.estimator, config.n_mels)

    def encode(self, tokens: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Return a coarse mel of the tokens. Shapes: tokens [1, L] -> [1, ratio · L, n_mels]."""
        x = self.lookahead(self.embedding(tokens), stream)
        return tap("encoder", mx.repeat(x, self.config.token_mel_ratio, axis=1))

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
        """Put prompt, coarse mel and speaker side by side.

        Shapes: mu and prompt [1, T, n_mels], speaker [1, n_mels].
        """
        length = mu.shape[1]
        tables = rotary_tables(mx.arange(start, start + length), self._head_dim, ROPE_THETA)
        once = {} if previous is None else previous.once
        return Condition(guided_rows(prompt, mu, speaker), chunk_mask(start, length, chunk), tables, once)

    def estimate(self, x: mx.array, condition: Condition, t: float, stream: Stream) -> mx.array:
        """Shapes: x [2, T, n_mels] -> [2, T, n_mels]."""
        if t not in condition.once:
            condition.once[t] = self.estimator.modulations(t)
        assert condition.tables is not None
        return self.estimator(x, condition.rows, condition.once[t], condition.tables, stream, condition.mask)
