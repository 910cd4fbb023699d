"""The architecture numbers of a Whisper checkpoint, from any of its three kinds of config.json."""

from dataclasses import asdict, dataclass
from typing import Any

from ...checkpoint.files import quote
from ...config import MAX_REPEATS
from ...errors import FormatError

# Hugging Face's name -> ours, which is OpenAI's (and that of the MLX community's folders).
HUGGING_FACE = {
    "num_mel_bins": "n_mels",
    "max_source_positions": "n_audio_ctx",
    "d_model": "n_audio_state",
    "encoder_attention_heads": "n_audio_head",
    "encoder_layers": "n_audio_layer",
    "vocab_size": "n_vocab",
    "max_target_positions": "n_text_ctx",
    "decoder_attention_heads": "n_text_head",
    "decoder_layers": "n_text_layer",
}
EXPECTED = {"activation_function": "gelu", "scale_embedding": False}


def _pairs(heads: Any) -> tuple[tuple[int, int], ...]:
    """Return config.json's alignment_heads. Raises: FormatError for what is not a list of pairs of whole numbers."""
    if not isinstance(heads, list | tuple) or len(heads) > MAX_REPEATS or not all(map(_is_pair, heads)):
        what = f"alignment_heads is {quote(heads)}, not a list of pairs (layer, head) of whole numbers"
        raise FormatError(what, where="config.json")
    return tuple((layer, head) for layer, head in heads)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(type(number) is int for number in value)


@dataclass(frozen=True)
class Config:
    """Sizes of the encoder (audio) and the decoder (text); `state` is the width, `ctx` the number of positions.

    alignment_heads: (layer, head) pairs of the decoder whose cross-attention follows the audio, for word times.
    """

    n_mels: int = 80
    n_audio_ctx: int = 1500
    n_audio_state: int = 512
    n_audio_head: int = 8
    n_audio_layer: int = 6
    n_vocab: int = 51865
    n_text_ctx: int = 448
    n_text_state: int = 512
    n_text_head: int = 8
    n_text_layer: int = 6
    alignment_heads: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = MAX_REPEATS if name.endswith(("_layer", "_head")) else 1_000_000
            if name != "alignment_heads" and (type(value) is not int or not 0 < value <= most):
                text = repr(value)[:60]
                raise FormatError(f"{name} is {text}, expected a whole number from 1 to {most}", where="config.json")
        if self.n_audio_ctx * self.n_audio_state > 1 << 26:
            raise FormatError(f"{self.n_audio_ctx} positions of {self.n_audio_state} numbers", where="config.json")
        for side in ("audio", "text"):
            state, heads = getattr(self, f"n_{side}_state"), getattr(self, f"n_{side}_head")
            if state % heads:
                raise FormatError(f"{heads} heads do not divide n_{side}_state {state}", where="config.json")
        for layer, head in self.alignment_heads:
            if not (0 <= layer < self.n_text_layer and 0 <= head < self.n_text_head):
                raise FormatError(f"alignment head ({layer}, {head}) does not exist", where="config.json")

    @property
    def is_multilingual(self) -> bool:
        """Return whether the model is multilingual, which the size of its vocabulary tells."""
        return self.n_vocab >= 51865

    @property
    def num_languages(self) -> int:
        """Return how many language tokens the vocabulary has: 99, or 100 from large-v3 on."""
        return self.n_vocab - 51765 - int(self.is_multilingual)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Config":
        """Read Hugging Face's config.json, OpenAI's `dims`, or the MLX community's config.json.

        Raises: FormatError for a missing or wrong size, and for an activation that is not ported.
        """
        for key, value in EXPECTED.items():
            if data.get(key, value) != value:
                raise FormatError(f"{key} is {data[key]!r}, this port computes {value!r}", where="config.json")
        names = {ours: theirs for theirs, ours in HUGGING_FACE.items()} if "d_model" in data else {}
        sizes = {}
        for name in cls.__dataclass_fields__:
            key = names.get(name, name)
            if name == "n_text_state" and names:
                key = "d_model"
            if key in data:
                sizes[name] = data[key]
            elif name != "alignment_heads":
                raise FormatError(f"'{key}' is missing", where="config.json")
        if sizes.get("alignment_heads") is not None:
            sizes["alignment_heads"] = _pairs(sizes["alignment_heads"])
        else:
            sizes["alignment_heads"] = ()
        return cls(**sizes)

    def to_dict(self) -> dict[str, Any]:
        """Return config.json as a converted folder holds it, with OpenAI's names."""
        return {"model_type": "whisper", **asdict(self)}

    @classmethod
    def tiny(cls) -> "Config":
        """Return the smallest sizes that have every part, for tests; the vocabulary is the real one."""
        return cls(80, 20, 32, 4, 2, 51865, 24, 32, 4, 2, ((1, 0), (1, 2)))
