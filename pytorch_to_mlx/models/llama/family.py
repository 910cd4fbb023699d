"""The parts of the language models that `convert`, `validate`, `benchmark` and `load` use."""

import inspect
from collections.abc import Mapping
from typing import Any

from ...checkpoint import Checkpoint
from ...config import ALWAYS_IGNORED
from ...contract import Family
from ...contract import Reference as Contract
from ...weights import WeightMap
from .card import CARD
from .config import IGNORED, Config
from .files import extra_files
from .model import architecture, build
from .pipeline import load
from .recipes import RECIPES
from .token_model import LlamaTokens
from .weights import WEIGHTS, open_release


def reference() -> type[Contract]:
    """Import and return the comparison with transformers; nothing else needs it."""
    from .reference import Reference

    return Reference


class LanguageModels(Family[WeightMap, Checkpoint]):
    """The family of all architectures of mlx-lm, each of which reads keys of its own."""

    def unread_keys(self, config: Mapping[str, Any]) -> list[str]:
        """Return the keys of config.json that mlx-lm does not read, and that are not ignored on purpose."""
        _, args_class = architecture(config)
        read = set(inspect.signature(args_class).parameters)
        return sorted(set(config) - read - IGNORED - ALWAYS_IGNORED)


FAMILY: Family[WeightMap, Checkpoint] = LanguageModels(
    card=CARD,
    config=Config,
    model=build,
    weights=WEIGHTS,
    open_release=open_release,
    load=load,
    reference=reference,
    ignored=IGNORED,
    extra_files=extra_files,
    recipes=RECIPES,
    token_model=LlamaTokens,
)
FAMILIES = (FAMILY,)
