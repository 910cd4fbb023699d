"""A language model's config.json as mlx-lm reads it: every number checked, and what it would misread translated."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ...config import MAX_REPEATS, from_dict, number
from ...errors import FormatError, UnsafeError
from ...units import count_text

MAX_INTEGER = 2**31 - 1
MAX_ITEMS = 10_000  # of one list
CODE = ("model_file", "custom_pipelines")  # keys by which a config.json asks for code of its own to be run
# What the layers of mlx-lm compute, whatever config.json asks for.
ACTIVATIONS = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "phi3", "smollm3"), ("silu", "swish")),
    "gemma": ("gelu",),
    **dict.fromkeys(("gemma2", "gemma3_text"), ("gelu_pytorch_tanh",)),
}
IGNORED = frozenset(
    "attention_dropout bos_token_id eos_token_id pad_token_id hidden_act hidden_activation initializer_range use_cache "
    "pretraining_tp output_attentions output_hidden_states return_dict max_window_layers use_sliding_window "
    "rope_parameters cache_implementation auto_map".split()
)


@dataclass(frozen=True)
class Sizes:
    """The numbers by which most architectures name their sizes."""

    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    max_position_embeddings: int | None = number(None, high=MAX_INTEGER)
    rms_norm_eps: float | None = number(None, low=0.0, high=1.0)
    tie_word_embeddings: bool | None = None

    def __post_init__(self) -> None:
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if heads and groups and heads % groups:
            raise ValueError(f"{groups} num_key_value_heads do not divide {heads} num_attention_heads")
        if heads and self.hidden_size and not self.head_dim and self.hidden_size % heads:
            raise ValueError(f"{heads} num_attention_heads do not divide hidden_size {self.hidden_size}")


@dataclass(frozen=True)
class Config:
    """A checked config.json. num_layers: of its layers, at least. arguments: all of it, as mlx-lm reads it."""

    model_type: str
    num_layers: int
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def vocab_size(self) -> int:
        """Return how many tokens the model knows."""
        return self.arguments.get("vocab_size") or self.arguments.get("text_config", {}).get("vocab_size") or 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json, or the fields of a Config.

        Raises: FormatError that lists every problem; UnsafeError where it asks for code of its own to be run.
        """
        if set(data) == {f.name for f in fields(cls)}:
            return cls(**data)
        if code := [key for key in CODE if key in data]:
            raise UnsafeError(
                f"config.json asks to run Python code ({code[0]}); nothing was run",
                where="config.json",
                fix="remove the key if mlx-lm knows the architecture without it",
            )
        model_type = data.get("model_type")
        problems = [] if isinstance(model_type, str) and model_type else ["model_type is missing"]
        problems += list(_problems(data, "", False))
        single = {key: value for key, value in data.items() if value is not None and not isinstance(value, list)}
        sizes = from_dict(Sizes, single)
        if not problems:
            problems += _unported(data)
        if problems:
            raise FormatError(
                f"{count_text(len(problems), 'problem')} in the configuration",
                where="config.json",
                fix="mlx-lm would compute another model, or none",
                details=problems,
            )
        arguments = translated(data)
        return cls(str(model_type), sizes.num_hidden_layers or _count_layers(arguments), arguments)

    @classmethod
    def tiny(cls) -> "Config":
        """Return a small LLaMA with grouped heads, for tests."""
        return cls.from_dict(
            {
                "model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
                "rope_theta": 1e4, "tie_word_embeddings": False,
            }
        )  # fmt: skip


def _problems(value: Any, name: str, is_count: bool) -> Iterator[str]:
    """Yield a line for every number that no model has, and every list that is too long."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            counts = key in ("n_layer", "n_head") or (
                key.startswith("n") and key.endswith(("layers", "heads", "blocks"))
            )
            yield from _problems(item, f"{name}.{key}" if name else str(key), counts)
    elif isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            yield f"{name} holds {len(value)} values, at most {MAX_ITEMS} are read"
            return
        for item in value:
            yield from _problems(item, name, is_count)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name} is {value}, not a finite number"
    elif type(value) is int and abs(value) > (MAX_REPEATS if is_count else MAX_INTEGER):
        yield f"{name} is {str(value)[:20]}, above the maximum of {MAX_REPEATS if is_count else MAX_INTEGER}"


def _count_layers(arguments: Mapping[str, Any]) -> int:
    """Return the number of layers by whatever name an architecture has for it."""
    names = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    inner = arguments.get("text_config")
    counts = [inner.get(name) for name in names] if isinstance(inner, Mapping) else []
    return next((n for n in [*(arguments.get(name) for name in names), *counts] if type(n) is int), 0)


def _unported(data: Mapping[str, Any]) -> list[str]:
    """Return what config.json asks for and mlx-lm would leave out in silence."""
    problems = []
    activations = ACTIVATIONS.get(data["model_type"])
    for key in ("hidden_act", "hidden_activation"):
        if activations and data.get(key) is not None and data[key] not in activations:
            problems.append(f"{key} is {data[key]!r:.40}; mlx-lm computes {activations[0]}")
    layers, pattern = data.get("layer_types"), data.get("sliding_window_pattern")
    if data["model_type"] == "gemma3_text" and isinstance(layers, list):
        n = pattern or _pattern(layers)
        expected = ["sliding_attention" if (i + 1) % n else "full_attention" for i in range(len(layers))]
        if list(layers) != expected:
            problems.append("layer_types are in no regular pattern, which mlx-lm's gemma3 needs")
    if data["model_type"] in ("qwen2", "qwen3") and data.get("use_sliding_window"):
        problems.append("use_sliding_window is on; mlx-lm computes full attention")
    return problems


def _pattern(layers: list[Any]) -> int:
    return layers.index("full_attention") + 1 if "full_attention" in layers else len(layers) + 1


def translated(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.json with what transformers 5 writes as mlx-lm reads it.

    rope_parameters become rope_theta and rope_scaling, those of Gemma 3 by kind of layer; layer_types become
    sliding_window_pattern. mlx-lm's Mistral has no window, which is the same as long as texts fit into it: that is then
    the most that the model takes.
    """
    result = {key: translated(v) if key.endswith("_config") and isinstance(v, dict) else v for key, v in data.items()}
    rope = data.get("rope_parameters")
    if isinstance(rope, Mapping):
        full, local = rope.get("full_attention", rope), rope.get("sliding_attention")
        result |= _rope(full)
        if isinstance(local, Mapping) and "rope_theta" in local:
            result["rope_local_base_freq"] = local["rope_theta"]
    if result.get("rope_theta") is None:
        result.pop("rope_theta", None)  # mlx-lm's default is for a key that is not there
    layers = data.get("layer_types")
    if data.get("model_type") == "gemma3_text" and isinstance(layers, list) and "sliding_window_pattern" not in data:
        result["sliding_window_pattern"] = _pattern(layers)
    window = data.get("sliding_window")
    if data.get("model_type") == "mistral" and type(window) is int and not layers:
        result["max_position_embeddings"] = min(window, data.get("max_position_embeddings") or window)
    return result


def _rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    """Return rope_theta and rope_scaling of one kind of layer. Source: transformers 5.23, modeling_rope_utils.py."""
    lifted = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if rope.get(key) is not None}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    return {**lifted, "rope_scaling": None if kind == "default" else {**scaling, "rope_type": kind}}
