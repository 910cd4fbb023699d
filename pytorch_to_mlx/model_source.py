"""From what a user names to an open checkpoint of a known family."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import registry
from .card import ModelCard, Published
from .checkpoint import Checkpoint, read_config, resolve
from .codegen import is_module_source, takes_architecture
from .errors import FormatError
from .weights.folder import is_converted


@dataclass
class Opened:
    """An open checkpoint. `name` is what may be written about where it came from: a hub id, or a file name."""

    name: str
    path: Path
    card: ModelCard
    checkpoint: Checkpoint
    converted: bool
    published: Published | None


@contextmanager
def open_named(source: str | Path, *, family: str | None = None, revision: str | None = None) -> Iterator[Opened]:
    """Resolve `source` (path, hub id, `packaged:NAME`), find its family by config or tensor names, and open it."""
    path, published = locate(source, family=family, revision=revision)
    card = registry.card(family) if family else registry.recognise(path)
    with registry.open_source(card, path) as checkpoint:
        name = path.name if Path(source).exists() else str(source)
        yield Opened(name, path, card, checkpoint, is_converted(path), published)


def locate(
    source: str | Path, *, family: str | None = None, revision: str | None = None
) -> tuple[Path, Published | None]:
    """The local path of `source`, downloaded if it is a hub id: the files that its card names, if a card names it."""
    text = str(source)
    for card in registry.cards() if family is None else (registry.card(family),):
        for published in card.checkpoints:
            if text in {published.hub_id, f"packaged:{published.packaged}"} and not Path(text).exists():
                wanted = revision or published.revision
                return resolve(source, revision=wanted, patterns=list(card.files) or None), published
    return resolve(source, revision=revision), None


def is_module(source: object, *, family: str | None = None, revision: str | None = None) -> bool:
    """Whether the generator takes a source: a torch module, a factory, a `.pt2` file, or what no family takes.

    The last is a Hugging Face folder or id whose config.json names an architecture of transformers, no family here.
    """
    if not isinstance(source, str | Path):
        return True
    if family is not None or str(source).startswith("packaged:"):
        return False
    if is_module_source(str(source)):
        return True
    path, published = locate(source, revision=revision)
    if published is not None or not (path / "config.json").is_file() or is_converted(path):
        return False
    names = read_config(path / "config.json").get("architectures")
    if not (isinstance(names, list) and names and isinstance(names[0], str)):
        return False
    try:
        registry.recognise(path)
    except FormatError:
        return takes_architecture(names[0])
    return False
