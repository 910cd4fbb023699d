"""Find model folders; a name or a config.json gives its card. Only the folder that is asked for is imported."""

import importlib
import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .card import ModelCard
from .errors import FormatError, UsageError
from .progress import note

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

MODELS = Path(__file__).parent / "models"


@cache
def names() -> dict[str, str]:
    """The families, as the command line spells them, each with its folder; a folder may hold several."""
    folders = (p.parent.name for p in MODELS.glob("*/card.py"))
    return dict(sorted((card.name, folder) for folder in folders for card in _cards_of(folder)))


def part(name: str, module: str) -> ModuleType:
    """Import one file of a family's folder, such as `part("kokoro", "pipeline")`."""
    return _import(folder(name), module)


def card(name: str) -> ModelCard:
    """The card of a family. Raises UsageError naming the nearest one if there is none."""
    return next(card for card in _cards_of(folder(name)) if card.name == name.replace("_", "-"))


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


def recognise(path: Path) -> ModelCard:
    """The card of a checkpoint on disk: by the `model_type` of its config.json, else by its tensors' names."""
    from .checkpoint import open_checkpoint

    try:
        with open_checkpoint(path) as checkpoint:
            config, tensors = checkpoint.config or {}, checkpoint.names()
    except FormatError as error:
        found = _recognise_release(path)
        if found is None:
            raise
        note(f"{error.what}: read as the release of '{found.name}'")
        return found
    if any(config.get("model_type") in candidate.model_types for candidate in cards()):
        return card_for_config(config, where=str(path))
    return card_for_names(tensors, where=str(path), config=config)


def _recognise_release(path: Path) -> ModelCard | None:
    """The card whose own `open_source` can read a release of several files."""
    for candidate in cards():
        weights = part(candidate.name, "weights")
        opener, is_release = (getattr(weights, name, None) for name in ("open_source", "is_release"))
        if opener is not None and is_release is not None and is_release(path):
            with opener(path):  # what is wrong with it is said
                return candidate
        if opener is not None:
            with suppress(FormatError), opener(path) as checkpoint:
                if _has_fingerprint(candidate, checkpoint.names()):
                    return candidate
    return None


def open_source(card: ModelCard, path: Path) -> "Checkpoint":
    """A family's checkpoint, as its `weights.open_source` reads it if it has one; converted folders as they are."""
    from .checkpoint import open_checkpoint
    from .weights.folder import is_converted

    opener = getattr(part(card.name, "weights"), "open_source", None)
    if opener is None or is_converted(path):
        return open_checkpoint(path)
    return opener(path)


def card_for_names(tensors: Iterable[str], *, where: str, config: dict[str, Any] | None = None) -> ModelCard:
    """The card one of whose fingerprints is wholly among the tensors' names."""
    tensors = list(tensors)
    for candidate in cards():
        if _has_fingerprint(candidate, tensors):
            return candidate
    said = [str(name) for name in ((config or {}).get("model_type"), *_architectures(config)) if name]
    known = {spelling.lower(): c.name for c in cards() for spelling in (c.name, *c.model_types)}
    near = [known[match] for name in said for match in get_close_matches(name.lower(), known, n=1)]
    nearest = f"nearest: {near[0]}; " if near else ""
    raise FormatError(
        f"this checkpoint belongs to no supported family (its config.json says {', '.join(said) or 'no model_type'})",
        where=where,
        fix=f"{nearest}families: {', '.join(names())}; name one with --family if it is one of them",
    )


def _architectures(config: dict[str, Any] | None) -> list[Any]:
    found = (config or {}).get("architectures")
    return found[:3] if isinstance(found, list) else []


def _has_fingerprint(card: ModelCard, tensors: list[str]) -> bool:
    return any(all(_matches(pattern, tensors) for pattern in group) for group in card.fingerprint)


def _matches(pattern: str, tensors: list[str]) -> bool:
    """True if a pattern of `weights.rules` (`{}` a number, `*` one name part, `**` several) matches a name."""
    parts = {r"\{\}": r"\d+", r"\*\*": ".+", r"\*": r"[^.]+"}
    expression = re.sub(r"\\\{\\\}|\\\*\\\*|\\\*", lambda m: parts[m[0]], re.escape(pattern))
    return any(re.fullmatch(expression, name) for name in tensors)


def load(
    source: str | Path,
    *,
    family: str | None = None,
    revision: str | None = None,
    offline: bool | None = None,
    **options: Any,
) -> Any:
    """Load a converted folder, a checkpoint, a hub id or `packaged:NAME` as the pipeline of its family."""
    from .checkpoint import resolve

    path = resolve(source, revision=revision, offline=offline)
    name = card(family).name if family else recognise(path).name
    return part(name, "pipeline").load(path, **options)


def folder(name: str) -> str:
    """The folder under models/ that a family is in. Raises UsageError naming the nearest one if there is none."""
    spelled = name.replace("_", "-")
    if spelled not in names():
        near = get_close_matches(spelled, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"families: {', '.join(names())}"
        raise UsageError(f"no model family is called '{name}'", fix=hint)
    return names()[spelled]


def _cards_of(folder: str) -> tuple[ModelCard, ...]:
    """The card of a folder, or its CARDS where it holds several families."""
    module = _import(folder, "card")
    return getattr(module, "CARDS", None) or (module.CARD,)


def _import(folder: str, module: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.models.{folder}.{module}")
