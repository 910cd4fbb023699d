"""Import the original's classes without what inference never calls.

They come from the package cosyvoice2-eu, or from a checkout of FunAudioLLM/CosyVoice and of Matcha-TTS on PYTHONPATH.
"""

import importlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ....errors import MachineError, MissingExtraError

# Imported at the top of the original's files, but used only in training, in its server or for reading audio.
UNUSED = {
    "conformer": ("ConformerBlock",),
    "gdown": (),
    "librosa": (),
    "librosa.filters": ("mel",),
    "lightning": (),
    "lightning.pytorch": (),
    "lightning.pytorch.utilities": ("rank_zero_only",),
    "matplotlib": (),
    "matplotlib.pylab": (),
    "matplotlib.pyplot": (),
    "omegaconf": ("DictConfig",),
    "onnxruntime": (),
    "torchaudio": (),
    "torchaudio.compliance": (),
    "torchaudio.compliance.kaldi": (),
    "wget": (),
}


def original(*names: str) -> list[ModuleType]:
    """Import modules of the original, such as `original("cosyvoice.llm.llm", "matcha.models.components.decoder")`.

    Raises: MissingExtraError if it is not installed.
    """
    if importlib.util.find_spec("cosyvoice") is None:
        raise MissingExtraError("cosyvoice2-eu", "validate", needed_for="comparing with PyTorch")
    with _stand_ins(), _logging_unchanged(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the original's, about its libraries
        return [importlib.import_module(name) for name in names]


def version_member(module: ModuleType, name: str) -> Any:
    """Return a class of the original. Raises: MachineError if the installed original is older than it."""
    try:
        return getattr(module, name)
    except AttributeError:
        raise newer_original_needed(name) from None


def newer_original_needed(name: str) -> MachineError:
    """Return the error for what the package cosyvoice2-eu does not hold."""
    return MachineError(
        f"comparing with PyTorch needs {name}, which the package 'cosyvoice2-eu' does not hold",
        fix="put checkouts of FunAudioLLM/CosyVoice and of Matcha-TTS on PYTHONPATH, and install x-transformers",
    )


class _Nothing:
    """Stand in for a class or function that is imported and not called; a DictConfig becomes its content."""

    def __new__(cls, content: Any = None, *args: Any, **kwargs: Any) -> Any:
        return content


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put empty modules in place of those not installed, during the import."""
    stand_ins = []
    for name, members in UNUSED.items():
        if name not in sys.modules and not _installed(name):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None, is_package=True)
            module.__path__ = []
            for member in members:
                setattr(module, member, _Nothing)
            sys.modules[name] = module
            stand_ins.append(name)
            parent, _, child = name.rpartition(".")
            if parent in stand_ins:
                setattr(sys.modules[parent], child, module)
    if "matcha.utils" not in sys.modules:
        # Its __init__ imports the whole training side, which the files beside it do not need.
        matcha = importlib.util.find_spec("matcha")
        module = ModuleType("matcha.utils")
        folders = (matcha and matcha.submodule_search_locations) or ()
        module.__path__ = [str(Path(folder) / "utils") for folder in folders]
        sys.modules["matcha.utils"] = module
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _logging_unchanged() -> Iterator[None]:
    """Undo that importing the original turns on the debug messages of every library."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
