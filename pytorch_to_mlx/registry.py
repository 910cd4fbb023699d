"""Find model folders; a name or a config.json gives its card. Only the folder that is asked for is imported."""

import importlib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .card import ModelCard
from .errors import FormatError, UsageError

MODELS = Path(__file__).parent / "models"


@cache
def names() -> tuple[str, ...]:
    """The families, as the command line spells them."""
    return tuple(sorted(p.parent.name.replace("_", "-") for p in MODELS.glob("*/card.py")))


def part(name: str, module: str) -> ModuleType:
    """Import one file of a family's folder, such as `part("kokoro", "pipeline")`."""
    return importlib.import_module(f"{__package__}.models.{_folder(name)}.{module}")


def card(name: str) -> ModelCard:
    """The card of a family. Raises UsageError naming the nearest one if there is none."""
    return part(name, "card").CARD


def cards() -> tuple[ModelCard, ...]:
    return tuple(card(name) for name in names())


def card_for_config(config: dict[str, Any], *, where: str) -> ModelCard:
    """The card whose `model_types` holds the `model_type` of a converted folder's config.json."""
    model_type = config.get("model_type")
    for candidate in cards():
        if model_type in candidate.model_types:
            return candidate
    known = ", ".join(sorted(t for c in cards() for t in c.model_types))
    raise FormatError(f"model_type {model_type!r} is not supported", where=where, fix=f"supported: {known}")


def load(path: str | Path, **options: Any) -> Any:
    """Load a converted folder, a checkpoint, or a hub id as the pipeline of its family."""
    from .checkpoint import read_config

    found = card_for_config(read_config(path, **options), where=str(path))
    return part(found.name, "pipeline").load(path, **options)


def _folder(name: str) -> str:
    spelled = name.replace("_", "-")
    if spelled not in names():
        near = get_close_matches(spelled, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"families: {', '.join(names())}"
        raise UsageError(f"no model family is called '{name}'", fix=hint)
    return spelled.replace("-", "_")
