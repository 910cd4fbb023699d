"""The architecture numbers of T5 and its kin, from transformers' config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...config import from_dict, number
from ...errors import FormatError

# Training, other tasks, and settings of generation, which the pipeline reads.
IGNORED = frozenset(
    "dropout_rate classifier_dropout initializer_factor is_encoder_decoder use_cache n_positions output_past num_beams "
    "task_specific_params max_length early_stopping length_penalty no_repeat_ngram_size gradient_checkpointing "
    "tokenizer_class dense_act_fn is_gated_act is_decoder bos_token_id bad_words_ids forced_eos_token_id prefix "
    "tie_word_embeddings output_hidden_states finetuning_task id2label label2id num_labels feed_forward_act".split()
)
REFUSED = {"umt5": "UMT5, which has a table of positions in every layer", "switch_transformers": "Switch Transformers"}


@dataclass(frozen=True)
class Config:
    """Sizes under transformers' names.

    scale_decoder_outputs: the hidden state is divided by sqrt(d_model) before the output layer, as in T5 1.0.
    own_head: the output layer is a table of its own; set by what the checkpoint holds.
    """

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    num_decoder_layers: int | None = None
    relative_attention_num_buckets: int = number(32, low=2, high=10_000)
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = number(1e-6, low=0.0, high=1.0)
    feed_forward_proj: Literal["relu", "gated-gelu", "gated-silu", "gated-relu", "gelu"] = "relu"
    pad_token_id: int = number(0, low=0)
    eos_token_id: int = number(1, low=0)
    decoder_start_token_id: int = number(0, low=0)
    scale_decoder_outputs: bool = True
    own_head: bool = False

    def __post_init__(self) -> None:
        if self.num_heads * self.d_kv > 1 << 20:
            raise ValueError(f"{self.num_heads} num_heads of d_kv {self.d_kv}")
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 2:
            raise ValueError("relative_attention_max_distance is within the exact buckets")
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            if getattr(self, name) >= self.vocab_size:
                raise ValueError(f"{name} {getattr(self, name)} is beyond the vocabulary of {self.vocab_size}")

    @property
    def decoder_layers(self) -> int:
        """Return the layers of the decoder, by default as many as the encoder's."""
        return self.num_layers if self.num_decoder_layers is None else self.num_decoder_layers

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem.

        Files from before transformers 5 say by `tie_word_embeddings` whether the output is scaled; mT5's never is.
        Source: transformers 5.23, models/t5/configuration_t5.py; models/mt5/modeling_mt5.py.
        """
        kind = data.get("model_type")
        if isinstance(kind, str) and kind in REFUSED:
            raise FormatError(f"{REFUSED[kind]}, is not ported", where="config.json", fix="take T5, mT5 or MADLAD-400")
        if "scale_decoder_outputs" not in data:
            scales = kind != "mt5" and data.get("tie_word_embeddings") is not False
            data = {**data, "scale_decoder_outputs": scales}
        return from_dict(cls, data, ignored=IGNORED)

    @classmethod
    def tiny(cls) -> "Config":
        """Return the smallest sizes that have every part, for tests."""
        return cls(48, 32, 16, 64, 2, 4, 2, feed_forward_proj="gated-gelu", scale_decoder_outputs=False, own_head=True)
