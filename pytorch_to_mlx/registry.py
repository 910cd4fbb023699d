"""Find model folders; a name or a checkpoint gives its family. Only the folder that is asked for is imported."""

import functools
import importlib
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
    from .contract import Family
    from .weights import Pattern, WeightMap

    AnyFamily = Family[WeightMap, Checkpoint]

MODELS = Path(__file__).parent / "models"


@cache
def names() -> dict[str, str]:
    """Return the families, as the command line spells them, each with its folder; a folder may hold several."""
    folders = (p.parent.name for p in MODELS.glob("*/card.py"))
    return dict(sorted((card.name, folder) for folder in folders for card in _cards_of(folder)))


def folder(name: str) -> str:
    """Return the folder under models/ that a family is in. Raises UsageError naming the nearest family."""
    spelled = name.replace("_", "-")
    if spelled not in names():
        near = get_close_matches(spelled, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"families: {', '.join(names())}"
        raise UsageError(f"no model family is called '{name}'", fix=hint)
    return names()[spelled]


def card(name: str) -> ModelCard:
    """Return the card of a family. Raises UsageError naming the nearest family."""
    return next(card for card in _cards_of(folder(name)) if card.name == name.replace("_", "-"))


def cards() -> tuple[ModelCard, ...]:
    """Return the cards of all families."""
    return tuple(card(name) for name in names())


def family(name: str) -> "AnyFamily":
    """Return what a family's folder declares. Raises UsageError naming the nearest family."""
    here = folder(name)
    return next(family for family in _import(here, "family").FAMILIES if family.name == name.replace("_", "-"))


def verb(card: ModelCard, name: str) -> Any:
    """Return the function of a family's own verb; a model of another family is named as what it is."""
    module, attribute = card.verbs[name].split(":")
    function = vars(_import(folder(card.name), module))[attribute]

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except FormatError:
            if options.get("model"):
                from .checkpoint import locate

                check_family(locate(options["model"], (card,), revision=options.get("revision")).path, card.name)
            raise

    return run


def recognise(path: Path) -> "AnyFamily":
    """Return the family of a checkpoint on disk: by the `model_type` of its config.json, else by its tensors' names."""
    from .checkpoint import open_checkpoint

    try:
        with open_checkpoint(path) as checkpoint:
            config, tensors = checkpoint.config, checkpoint.names()
    except FormatError as error:
        release = _recognise_release(path)
        if release is None:
            raise
        note(f"{error.what}: read as the release of '{release.name}'")
        return release
    named = [card for card in cards() if (config or {}).get("model_type") in card.model_types]
    return family(named[0].name if named else _card_for_names(tensors, config, where=path).name)


def _recognise_release(path: Path) -> "AnyFamily | None":
    """Return the family that reads a release of several files."""
    for candidate in map(family, names()):
        if candidate.is_release(path):
            with candidate.open_release(path):  # what is wrong with it is said
                return candidate
        with suppress(FormatError), candidate.open_release(path) as checkpoint:
            if _has_fingerprint(candidate.card, checkpoint.names()):
                return candidate
    return None


def _card_for_names(tensors: Iterable[str], config: dict[str, Any] | None, *, where: Path) -> ModelCard:
    """Return the card one of whose fingerprints is wholly among the tensors' names."""
    tensors = list(tensors)
    if card_of_names := _find_card(tensors):
        return card_of_names
    stated = [str(name) for name in ((config or {}).get("model_type"), *_architectures(config or {})) if name]
    known = {spelling.lower(): c.name for c in cards() for spelling in (c.name, *c.model_types)}
    near = [known[match] for name in stated for match in get_close_matches(name.lower(), known, n=1)]
    nearest = f"nearest: {near[0]}; " if near else ""
    raise FormatError(
        f"this checkpoint belongs to no supported family ({_what_config_says(config, stated)})",
        where=where,
        fix=f"{nearest}families: {', '.join(names())}; name one with --family if it is one of them",
    )


def _what_config_says(config: dict[str, Any] | None, stated: list[str]) -> str:
    if config is None:
        return "there is no config.json, and no family has tensors of these names"
    return f"its config.json says {', '.join(stated) or 'no model_type'}"


def _find_card(tensors: list[str]) -> ModelCard | None:
    """Return the card of the tensors' names; a prefix that a wrapper put before all of them does not count."""
    from .checkpoint.training import wrapping_prefix

    hits: list[ModelCard] = []

    def are_known(names: list[str]) -> bool:
        hits.extend(candidate for candidate in cards() if _has_fingerprint(candidate, names))
        return bool(hits)

    wrapping_prefix(tensors, are_known)
    return hits[0] if hits else None


def check_family(path: Path, name: str) -> None:
    """Refuse a checkpoint that is plainly another family's than the one named.

    Raises: FormatError that names the family.
    """
    from .checkpoint import open_checkpoint

    try:
        with open_checkpoint(path) as checkpoint:
            stated, tensors = (checkpoint.config or {}).get("model_type"), checkpoint.names()
    except FormatError:
        return  # the family opens it in its own way, and says what is wrong with it
    own, other = card(name), _find_card(tensors)
    if other is None or other == own or stated in own.model_types or _has_fingerprint(own, tensors):
        return
    raise FormatError(
        f"this is a {other.name} checkpoint, not one of {own.name}",
        where=path,
        fix=f"use the {other.name} commands, or give a checkpoint of {own.name}",
    )


def _architectures(config: dict[str, Any]) -> list[Any]:
    architectures = config.get("architectures")
    return architectures[:3] if isinstance(architectures, list) else []


def _has_fingerprint(card: ModelCard, tensors: list[str]) -> bool:
    from .weights import Pattern

    return any(all(_matches_any(Pattern(text), tensors) for text in group) for group in card.fingerprint)


def _matches_any(pattern: "Pattern", tensors: list[str]) -> bool:
    return any(map(pattern.matches, tensors))


def _cards_of(folder: str) -> tuple[ModelCard, ...]:
    return _import(folder, "card").CARDS


def _import(folder: str, module: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.models.{folder}.{module}")
