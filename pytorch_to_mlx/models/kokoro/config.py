"""The architecture numbers of Kokoro's config.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...config import from_dict

SAMPLE_RATE = 24000  # fixed in the reference's Generator

# Keys of config.json that inference does not read: training settings, and sizes that the reference fixes in code.
IGNORED = frozenset({"dim_in", "dropout", "max_conv_dim", "multispeaker", "n_mels"})
PLBERT_IGNORED = frozenset({"dropout", "hidden_dropout_prob", "attention_probs_dropout_prob"})
# Defaults of transformers.AlbertConfig that PL-BERT relies on and this port fixes in code.
PLBERT_EXPECTED = {
    "hidden_act": "gelu_new",
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "position_embedding_type": "absolute",
}


@dataclass(frozen=True)
class PlBertConfig:
    """Sizes of PL-BERT; the fields of transformers.AlbertConfig."""

    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 2048
    max_position_embeddings: int = 512
    num_hidden_layers: int = 12
    embedding_size: int = 128
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")


@dataclass(frozen=True)
class IstftNetConfig:
    """Sizes of the vocoder."""

    upsample_rates: tuple[int, ...] = (10, 6)
    upsample_kernel_sizes: tuple[int, ...] = (20, 12)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    gen_istft_n_fft: int = 20
    gen_istft_hop_size: int = 5

    def __post_init__(self) -> None:
        if not self.upsample_rates or len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes need the same number of entries, at least one")
        if not self.resblock_kernel_sizes or len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes need the same number of entries")
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            raise ValueError(f"upsample_initial_channel {self.upsample_initial_channel} cannot be halved every stage")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"an upsampling kernel of {kernel} does not fit a rate of {rate}")
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ValueError(f"resblock_kernel_sizes {list(self.resblock_kernel_sizes)} must be odd")
        if self.gen_istft_n_fft % 2 or self.gen_istft_n_fft < 2 * self.gen_istft_hop_size:
            raise ValueError("gen_istft_n_fft must be even, and at least twice gen_istft_hop_size")

    @property
    def samples_per_pitch(self) -> int:
        """Return the samples for each value of the pitch and energy curves."""
        return math.prod(self.upsample_rates) * self.gen_istft_hop_size


@dataclass(frozen=True)
class Config:
    """Sizes of Kokoro. The decoder's two widths are constants in the reference, not keys of config.json."""

    n_token: int = 178
    hidden_dim: int = 512
    style_dim: int = 128
    n_layer: int = 3
    max_dur: int = 50
    text_encoder_kernel_size: int = 5
    plbert: PlBertConfig = field(default_factory=PlBertConfig)
    istftnet: IstftNetConfig = field(default_factory=IstftNetConfig)
    vocab: dict[str, int] = field(default_factory=dict)
    decoder_dim: int = 1024
    decoder_residual_dim: int = 64

    def __post_init__(self) -> None:
        if self.hidden_dim % 2 or self.decoder_dim % 2:
            raise ValueError("hidden_dim and decoder_dim must be even")
        if self.text_encoder_kernel_size % 2 == 0:
            raise ValueError(f"text_encoder_kernel_size {self.text_encoder_kernel_size} must be odd")
        if not all(type(i) is int and 0 <= i < self.n_token for i in self.vocab.values()):
            raise ValueError(
                f"the vocab holds an id that is not a whole number in 0 … n_token - 1 = {self.n_token - 1}"
            )

    @property
    def samples_per_frame(self) -> int:
        """Return the samples for each frame, the unit of the durations; it has two pitch values."""
        return 2 * self.istftnet.samples_per_pitch

    @property
    def max_phonemes(self) -> int:
        """Return the length of the longest input, without the two end marks."""
        return self.plbert.max_position_embeddings - 2

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem."""
        plbert = data.get("plbert")
        if isinstance(plbert, Mapping):
            from_dict(PlBertConfig, plbert, expected=PLBERT_EXPECTED, where="config.json: plbert")
        return from_dict(cls, data, ignored=IGNORED)

    @classmethod
    def tiny(cls) -> "Config":
        """Return sizes of a few ten thousand parameters with every part, for tests. The reference fixes style_dim."""
        return cls(
            n_token=40,
            hidden_dim=16,
            n_layer=2,
            max_dur=10,
            plbert=PlBertConfig(24, 3, 32, 64, 3, 12),
            istftnet=IstftNetConfig((4, 3), (8, 7), 32, (3, 5), ((1, 3, 5), (1, 2, 3))),
            vocab={chr(97 + i): i + 1 for i in range(26)},
            decoder_dim=32,
            decoder_residual_dim=8,
        )
