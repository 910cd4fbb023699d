"""Names for the numbers in a class: the original's attributes, or those of its config, that have these values."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .module_tree import Instance

DIMS = r"dim$|dims$|_size$|^size|width|channels|features|^d_|_d$|hidden|embd|planes|units|filters"
NOT_DIMS = r"head_dim|kernel|vocab|patch|image|window|num_|^n_head|max_|batch|chunk|group_size"
KINDS = {  # by what a layer of mlx.nn calls an argument: which attributes of the original may name it
    "num_embeddings": r"vocab|position|num_embed|buckets|codebook|max_.*len",
    "eps": r"eps",
    "kernel_size": r"kernel|patch",
    "stride": r"stride|patch",
    "padding": r"padding$",
    "groups": r"groups",
    "num_groups": r"groups",
}
DIM_WORDS = {"in_features", "out_features", "embedding_dim", "dims", "in_channels", "out_channels", "num_features"}
NO_SIZE = re.compile(r"_(idx|id|index)$|^(idx|index)$|token|seed")


class AttributeNames:
    """The numbers among the attributes of the originals of a class's instances, and of the config nearest to each."""

    def __init__(self, instances: Sequence[Instance], modules: Mapping[str, Any]) -> None:
        originals = [modules.get(instance.place.path) for instance in instances]
        self._own = _numbers([vars(original) if original is not None else {} for original in originals])
        self._path = instances[0].place.path
        self._config = _numbers([_config(instance.place.path, modules) for instance in instances])

    def layer_argument(self, word: str, values: Mapping[int, Any]) -> str | None:
        """Return the attribute that an argument of a constructor is. word: what the constructor calls it.

        values: by instance.
        """
        own, config = _equal(self._own, values), _equal(self._config, values)
        if word in own or word in config:
            return word
        for names in (own, config):
            if alike := [name for name in names if _is_kind(name, word) and not self._is_of_other_half(name)]:
                return alike[0]
        return own[0] if len(own) == 1 and _is_telling(next(iter(values.values()))) else None

    def _is_of_other_half(self, name: str) -> bool:
        """Return whether a name says decoder, and these modules are an encoder's; or the other way round."""
        halves = {"encoder": "decoder", "decoder": "encoder"}
        return any(half in self._path and other in name and half not in name for half, other in halves.items())

    def size_in_method(self, values: Mapping[int, Any]) -> str | None:
        """Return the only attribute of the originals with these values, if they are not as common as 1 and 2."""
        equal = _equal(self._own, values)
        return equal[0] if len(equal) == 1 and all(map(_is_telling, values.values())) else None


def is_number(value: Any) -> bool:
    """Return whether a value is a number that JSON has."""
    return type(value) in (int, float) and math.isfinite(value)


def _numbers(sources: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the numbers that all instances have under one name, by instance."""
    names = [name for name, value in sources[0].items() if is_number(value) and not name.startswith("_")]
    return {
        name: [source[name] for source in sources]
        for name in names
        if name.isidentifier() and not NO_SIZE.search(name) and all(is_number(source.get(name)) for source in sources)
    }


def _config(path: str, modules: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of the config of a module, or of the nearest around it that has one."""
    parts = path.split(".") if path else []
    for end in range(len(parts), -1, -1):
        config = getattr(modules.get(".".join(parts[:end])), "config", None)
        if config is not None and hasattr(config, "__dict__"):
            return vars(config)
    return {}


def _equal(attributes: Mapping[str, list[Any]], values: Mapping[int, Any]) -> list[str]:
    return [n for n, numbers in attributes.items() if all(repr(numbers[i]) == repr(v) for i, v in values.items())]


def _is_kind(name: str, word: str) -> bool:
    is_dim = re.search(DIMS, name) is not None and re.search(NOT_DIMS, name) is None
    if word == "size":
        return is_dim or re.search(KINDS["num_embeddings"], name) is not None
    if word.startswith("num_") and word not in KINDS and word not in DIM_WORDS:
        return re.search(r"layers|blocks|depth|stages", name) is not None
    return is_dim if word in DIM_WORDS else word in KINDS and re.search(KINDS[word], name) is not None


def _is_telling(value: Any) -> bool:
    return abs(value) > 2 or (isinstance(value, float) and value not in (0.0, 0.5, 1.0, 2.0))
