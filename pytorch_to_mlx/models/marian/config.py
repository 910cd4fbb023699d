"""The architecture numbers of a Marian translator, from transformers' config.json or Marian's own model.yml."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...config import from_dict, number
from ...errors import FormatError

MARIAN_POSITIONS = 1024  # rows of the computed table of a model of Marian's own, which has no largest length
MARIAN_EPS = 1e-9  # of its layer norms; transformers' have 1e-5
NO_TOKEN = -1  # what Marian's decoder starts with: the embedding of no token, which is zero

# Training, other tasks, and settings of generation, which generation.py reads.
IGNORED = frozenset(
    "dropout attention_dropout activation_dropout classifier_dropout classif_dropout init_std encoder_layerdrop "
    "decoder_layerdrop use_cache is_encoder_decoder num_hidden_layers num_beams max_length early_stopping bos_token_id "
    "length_penalty no_repeat_ngram_size bad_words_ids forced_eos_token_id num_labels id2label label2id is_decoder "
    "static_position_embeddings gradient_checkpointing output_past max_length_factor language_pair".split()
)
EXPECTED = {
    "normalize_before": False, "normalize_embedding": False, "add_final_layer_norm": False, "add_bias_logits": False,
    "extra_pos_embeddings": 0,
}  # fmt: skip
Activation = Literal["relu", "swish", "silu", "gelu", "gelu_new", "quick_gelu"]


@dataclass(frozen=True)
class Config:
    """Sizes and switches, under transformers' names where it has one.

    decoder_cell: what the decoder remembers its tokens by, attention or the cell of Kim et al. 2019 ("ssru").
    positions: whether the table of positions that is not stored is transformers' or Marian's.
    decoder_start_token_id: NO_TOKEN for Marian's own models.
    """

    vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_attention_heads: int
    decoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    max_position_embeddings: int
    activation_function: Activation
    scale_embedding: bool = False
    decoder_vocab_size: int | None = None
    share_encoder_decoder_embeddings: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int = number(58100, low=NO_TOKEN)
    eos_token_id: int = number(0, low=0)
    decoder_start_token_id: int = number(58100, low=NO_TOKEN)
    decoder_cell: Literal["attention", "ssru"] = "attention"
    positions: Literal["transformers", "marian"] = "transformers"
    layer_norm_eps: float = number(1e-5, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        for side, heads in (("encoder", self.encoder_attention_heads), ("decoder", self.decoder_attention_heads)):
            if self.d_model % heads:
                raise ValueError(f"{heads} {side}_attention_heads do not divide d_model {self.d_model}")
        if self.d_model % 2 or self.max_position_embeddings * self.d_model > 1 << 26:
            raise ValueError(f"{self.max_position_embeddings} positions of {self.d_model} numbers")
        if self.share_encoder_decoder_embeddings and self.target_vocab_size != self.vocab_size:
            raise ValueError("a shared vocabulary cannot have two sizes")
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            if getattr(self, name) >= min(self.vocab_size, self.target_vocab_size):
                raise ValueError(f"{name} {getattr(self, name)} is beyond the vocabulary of {self.vocab_size}")

    @property
    def target_vocab_size(self) -> int:
        """Return how many tokens the decoder knows."""
        return self.decoder_vocab_size or self.vocab_size

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem."""
        return from_dict(cls, data, ignored=IGNORED, expected=EXPECTED)

    def to_dict(self) -> dict[str, Any]:
        """Return config.json as a converted folder of a model of Marian's own holds it."""
        return {"model_type": "marian", **asdict(self)}

    @classmethod
    def tiny(cls) -> "Config":
        """Return the smallest sizes that have every part, for tests: both kinds of memory cannot be in one model."""
        return cls(48, 32, 2, 2, 4, 4, 64, 64, 40, "swish", True, pad_token_id=47, decoder_start_token_id=47)


# What a model.yml must say for this port to compute it; what it leaves out is as Marian 1.12 sets it.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "type": ("transformer",),
    "transformer-preprocess": ("",),
    "transformer-postprocess": ("dan",),
    "transformer-postprocess-emb": ("d", ""),
    "transformer-postprocess-top": ("",),
    "transformer-tied-layers": ([],),
    "transformer-no-projection": (False,),
    "transformer-no-affine": (False,),
    "transformer-no-bias": (False,),
    "transformer-ffn-depth": (2,),
    "transformer-pool": (False,),
    "transformer-rnn-projection": (False,),
    "transformer-depth-scaling": (False, True),  # changes how weights are drawn for training
    "lemma-dim-emb": (0,),
    "lemma-dependency": ("",),
    "factors-combine": ("sum",),
    "output-omit-bias": (False,),
    "right-left": (False,),
    "ulr": (False,),
    "input-types": ([], ["sequence"], ["sequence", "sequence"]),
}
ACTIVATIONS = {"relu": "relu", "swish": "swish", "gelu": "quick_gelu"}  # Marian's gelu is x · sigmoid(1.702 x)
CELLS = {"self-attention": "attention", "rnn": "ssru"}


def of_architecture(model: Mapping[str, Any], sizes: Mapping[str, int], *, where: str) -> Config:
    """Return the config of a model of Marian's own. model: its model.yml. sizes: what only its tensors tell.

    Raises: FormatError that lists what is not ported.
    """
    problems = [
        f"{key} is {model[key]!r}, ported: {' or '.join(map(repr, values))}"
        for key, values in SUPPORTED.items()
        if key in model and model[key] not in values
    ]
    activation = model.get("transformer-ffn-activation", "swish")
    autoreg = model.get("transformer-decoder-autoreg", "self-attention")
    if activation not in ACTIVATIONS:
        problems.append(f"transformer-ffn-activation is {activation!r}, ported: {', '.join(ACTIVATIONS)}")
    if autoreg not in CELLS or (autoreg == "rnn" and model.get("dec-cell", "ssru") != "ssru"):
        problems.append(f"transformer-decoder-autoreg is {autoreg!r} with {model.get('dec-cell')!r}, ported: ssru")
    if problems:
        raise FormatError(
            "an architecture of Marian's that is not ported", where=where, fix="give another model", details=problems
        )
    depth, heads = int(model.get("enc-depth", 1)), int(model.get("transformer-heads", 8))
    ffn = int(model.get("transformer-dim-ffn", 2048))
    shared = bool(model.get("tied-embeddings-all") or model.get("tied-embeddings-src"))
    data = {
        "d_model": int(model.get("dim-emb", 512)),
        "encoder_layers": depth,
        "decoder_layers": int(model.get("dec-depth", 1)),
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": ffn,
        "decoder_ffn_dim": int(model.get("transformer-dim-decoder-ffn") or 0) or ffn,
        "max_position_embeddings": MARIAN_POSITIONS,
        "activation_function": ACTIVATIONS[activation],
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": shared,
        "tie_word_embeddings": bool(model.get("tied-embeddings-all") or model.get("tied-embeddings")),
        "pad_token_id": NO_TOKEN,
        "decoder_start_token_id": NO_TOKEN,
        "decoder_cell": CELLS[autoreg],
        "positions": "marian",
        "layer_norm_eps": MARIAN_EPS,
        **sizes,
    }
    return from_dict(Config, data, where=where)
