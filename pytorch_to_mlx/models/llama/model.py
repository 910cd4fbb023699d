"""A language model of mlx-lm as a module with our taps, built as mlx-lm builds it, from a checked config."""

import functools
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ...errors import FormatError, MissingExtraError
from ...taps import tap
from .config import Config

# What the constructors of mlx-lm raise for sizes that contradict each other.
REFUSALS = (
    TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError, AssertionError, RuntimeError,
)  # fmt: skip


def architecture(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return mlx-lm's classes of a config.json, (Model, ModelArgs).

    Raises: MissingExtraError without mlx-lm; FormatError for an architecture that it does not know.
    """
    try:
        from mlx_lm.utils import _get_classes
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "llama", needed_for="language models") from None
    model_type = config["model_type"]
    try:
        if not model_type.replace("-", "_").replace(".", "_").isidentifier():
            raise ValueError(model_type)
        return _get_classes({key: config[key] for key in ("model_type", "architectures") if key in config})
    except (ValueError, AttributeError):
        raise FormatError(
            f"mlx-lm does not know the architecture {model_type!r:.60}",
            where="config.json",
            fix="pip install --upgrade mlx-lm may bring it",
        ) from None


def build(config: Config) -> nn.Module:
    """Build the model, its output layer left out where that is the embedding; the random weights are not evaluated.

    Raises: FormatError for sizes that mlx-lm cannot build; MissingExtraError without mlx-lm.
    """
    model_class, args_class = architecture(config.arguments)
    try:
        model = _with_taps(model_class)(args_class.from_dict(config.arguments))
        if config.arguments.get("tie_word_embeddings") and "lm_head" in model:
            names = {name: array for name, array in _flat(model).items() if name != "lm_head.weight"}
            model.sanitize(names)  # some architectures take the output layer off only when they see the weights
    except REFUSALS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FormatError(f"mlx-lm cannot build this model: {reason}", where="config.json") from None
    return model


@functools.cache
def _with_taps(model_class: type) -> type:
    class Model(model_class):
        def __call__(self, inputs: mx.array, *args: Any, **kwargs: Any) -> mx.array:
            if self.model_type == "gemma3_text" and len(args) < 2 and kwargs.get("input_embeddings") is None:
                kwargs["input_embeddings"] = _gemma_embedding(self.model, inputs)
            return tap("logits", super().__call__(inputs, *args, **kwargs))

    return Model


def _gemma_embedding(model: Any, inputs: mx.array) -> mx.array:
    """Return the embedding that mlx-lm's Gemma 3 scales as transformers does.

    mlx-lm rounds the scale, the root of the width, to bfloat16 whatever the weights are: 0.2 % off at a width of 640.
    transformers rounds it to the dtype of the weights.
    """
    embedding = model.embed_tokens(inputs)
    scale = model.args.hidden_size**0.5
    rounded = mx.array(scale, mx.bfloat16).astype(embedding.dtype)
    return embedding * (mx.array(scale, embedding.dtype) / rounded)


def _flat(model: nn.Module) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def sanitize(config: Config, names: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Return a checkpoint's tensors under mlx-lm's names, as it renames, stacks and drops them itself.

    Raises: FormatError where it cannot.
    """
    model_class, args_class = architecture(config.arguments)
    try:
        model = model_class(args_class.from_dict(config.arguments))
        return model.sanitize(dict(names)) if hasattr(model, "sanitize") else dict(names)
    except REFUSALS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FormatError(
            f"mlx-lm cannot take the checkpoint's tensors: {reason}",
            where="config.json",
            fix="the configuration contradicts the checkpoint",
        ) from None
