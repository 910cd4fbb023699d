"""The architecture numbers of M2M100 and NLLB-200, from transformers' config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config import from_dict, number
from ...errors import FormatError

# Training, and settings of generation, which the pipeline reads.
IGNORED = frozenset(
    "dropout attention_dropout activation_dropout classifier_dropout init_std encoder_layerdrop decoder_layerdrop "
    "use_cache is_encoder_decoder num_hidden_layers num_beams max_length early_stopping bos_token_id is_decoder "
    "length_penalty no_repeat_ngram_size bad_words_ids forced_eos_token_id forced_bos_token_id gradient_checkpointing "
    "output_past id2label label2id num_labels tokenizer_class tie_word_embeddings".split()
)
EXPECTED = {
    "activation_function": "relu", "add_bias_logits": False, "add_final_layer_norm": True, "normalize_before": True,
    "normalize_embedding": False, "static_position_embeddings": True,
}  # fmt: skip
MIXTURES = ("nllb-moe", "nllb_moe")


@dataclass(frozen=True)
class Config:
    """Sizes under transformers' names."""

    vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_attention_heads: int
    decoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    max_position_embeddings: int = 1024
    scale_embedding: bool = True
    pad_token_id: int = number(1, low=0)
    eos_token_id: int = number(2, low=0)
    decoder_start_token_id: int = number(2, low=0)

    def __post_init__(self) -> None:
        for side, heads in (("encoder", self.encoder_attention_heads), ("decoder", self.decoder_attention_heads)):
            if self.d_model % heads:
                raise ValueError(f"{heads} {side}_attention_heads do not divide d_model {self.d_model}")
        if self.d_model % 2 or self.max_position_embeddings * self.d_model > 1 << 26:
            raise ValueError(f"{self.max_position_embeddings} positions of {self.d_model} numbers")
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            if getattr(self, name) >= self.vocab_size:
                raise ValueError(f"{name} {getattr(self, name)} is beyond the vocabulary of {self.vocab_size}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json.

        Raises: FormatError that lists every problem, and for a mixture of experts, which is not ported.
        """
        if data.get("model_type") in MIXTURES or "num_experts" in data:
            raise FormatError(
                "NLLB-MoE, the mixture of experts, is not ported", where="config.json", fix="take a dense NLLB-200"
            )
        return from_dict(cls, data, ignored=IGNORED, expected=EXPECTED)

    @classmethod
    def tiny(cls) -> "Config":
        """Return the smallest sizes that have every part, for tests."""
        return cls(48, 32, 2, 2, 4, 4, 64, 64, 40)
