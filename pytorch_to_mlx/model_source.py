"""From what a user names to files, family and open checkpoint: located, recognised and looked into once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .card import Published
from .checkpoint import Checkpoint, Located, locate, open_checkpoint, read_config
from .codegen import is_module_source, takes_architecture
from .errors import FormatError, UsageError
from .forks import require_own_threads
from .weights.folder import check_files, is_converted

if TYPE_CHECKING:
    from .registry import AnyFamily


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint of a family. name: what may be written about where it came from, a hub id or a file name."""

    name: str
    path: Path
    family: "AnyFamily"
    converted: bool
    published: Published | None

    def open(self) -> Checkpoint:
        """Open it: as its family reads a release, or as a converted folder."""
        checkpoint = open_checkpoint(self.path) if self.converted else self.family.open_release(self.path)
        checkpoint.tell()
        return checkpoint


def locate_model(
    source: str | Path | None, *, family: str | None = None, revision: str | None = None, offline: bool | None = None
) -> Located:
    """Return where `source` lies: a path, hub id or `packaged:NAME`; None is the default of `family`.

    Of a repository on the hub the files that its card names are downloaded.
    """
    cards = registry.cards() if family is None else (registry.card(family),)
    return locate(source, cards, revision=revision, offline=offline)


def find_model(
    source: str | Path | None, *, family: str | None = None, revision: str | None = None, offline: bool | None = None
) -> ModelSource:
    """Return the checkpoint that `source` names, with its family: the one given, else by its config or tensors.

    Raises: what `locate` raises; FormatError where the checkpoint belongs to no family, or to another than `family`.
    """
    return _identify(locate_model(source, family=family, revision=revision, offline=offline), family)


def find_model_or_module(
    source: object, *, family: str | None = None, revision: str | None = None
) -> ModelSource | None:
    """Return the checkpoint that `source` names, or None where it is for the converter of modules.

    That takes a torch module, a factory, a `.pt2` file, and a Hugging Face folder or id whose config.json names an
    architecture of transformers that belongs to no family here.
    """
    if not isinstance(source, str | Path | None):
        return None
    if family is None and not str(source).startswith("packaged:") and is_module_source(str(source)):
        return None
    located = locate_model(source, family=family, revision=revision)
    try:
        return _identify(located, family)
    except FormatError:
        if family is None and located.published is None and _is_transformers_model(located.path):
            return None
        raise


def load(
    source: str | Path | None = None,
    *,
    family: str | None = None,
    revision: str | None = None,
    offline: bool | None = None,
    dequantize: bool | None = None,
    verify: bool = False,
) -> Any:
    """Load a converted folder, a checkpoint, a hub id or `packaged:NAME` as the pipeline of its family.

    Without a source it is the default checkpoint of `family`. What the pipeline can do is the Protocol of its task in
    `pytorch_to_mlx.tasks`: `generate` for text to speech, `transcribe` for speech to text.
    dequantize: unpack quantized layers; by default where this machine runs them faster so.
    verify: hash a converted folder's files first and compare them with what its conversion wrote.

    Raises: CheckError where one was changed; UsageError where `verify` has nothing to compare with.
    """
    require_own_threads()
    model = find_model(source, family=family, revision=revision, offline=offline)
    if verify and not (model.converted and check_files(model.path)):
        raise UsageError(
            "nothing says what its files were", where=model.path, fix="verify a folder that this version converted"
        )
    return model.family.load(model.path, dequantize=dequantize)


def _identify(located: Located, family: str | None) -> ModelSource:
    chosen = registry.family(family) if family else registry.recognise(located.path)
    if family:
        registry.check_family(located.path, chosen.name)
    return ModelSource(located.name, located.path, chosen, is_converted(located.path), located.published)


def _is_transformers_model(path: Path) -> bool:
    if not (path / "config.json").is_file() or is_converted(path):
        return False
    names = read_config(path / "config.json").get("architectures")
    return bool(isinstance(names, list) and names and isinstance(names[0], str) and takes_architecture(names[0]))
