"""The flow of version 2: an upsampling conformer, and a causal U-Net with transformers. Du et al. 2024, "CosyVoice 2".

Reference: CausalMaskedDiffWithXvec, cosyvoice/flow/flow.py@ace7c47.
"""

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....nn.linear import linear
from ....nn.stream import Stream
from ....taps import tap
from ..conformer import chunk_mask
from .causal import CausalFlow, CausalFlowConfig, Condition, guided_rows
from .unet import Estimator, EstimatorConfig
from .upsample_encoder import Encoder, EncoderConfig


@dataclass(frozen=True)
class FlowConfig(CausalFlowConfig):
    """The defaults are CosyVoice 2's."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def tiny(cls) -> "FlowConfig":
        """Return small sizes for tests."""
        return cls(encoder=EncoderConfig.tiny(), estimator=EstimatorConfig.tiny())


class Flow(CausalFlow):
    """See `CausalFlow`."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config, config.encoder.hidden_size)
        self.encoder = Encoder(config.encoder, config.token_mel_ratio)
        self.encoder_proj = nn.Linear(config.encoder.hidden_size, config.n_mels)
        self.estimator = Estimator(config.estimator, config.n_mels)

    def encode(self, tokens: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Return a coarse mel of the tokens. Shapes: tokens [1, L] -> [1, ratio · L, n_mels]."""
        x = self.encoder(self.embedding(tokens), stream, offset=offset, chunk=chunk)
        return tap("encoder", linear(self.encoder_proj, x))

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
        """Put encoder's mel, speaker and prompt side by side.

        Shapes: mu and prompt [1, T, n_mels], speaker [1, n_mels].
        """
        return Condition(guided_rows(mu, speaker, prompt), chunk_mask(start, mu.shape[1], chunk))

    def estimate(self, x: mx.array, condition: Condition, t: float, stream: Stream) -> mx.array:
        """Shapes: x [2, T, n_mels] -> [2, T, n_mels]."""
        return self.estimator(x, condition.rows, t, stream, condition.mask)
