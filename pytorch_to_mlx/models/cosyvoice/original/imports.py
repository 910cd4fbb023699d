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

from ....errors import MissingExtraError

# Imported by the original's files at their top, used in training, in its server or in its readers of audio only.
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
    """Modules of the original, such as `original("cosyvoice.llm.llm", "matcha.models.components.decoder")`."""
    if importlib.util.find_spec("cosyvoice") is None:
        raise MissingExtraError("cosyvoice2-eu", "validate", needed_for="comparing with PyTorch")
    with _stand_ins(), _logging_as_it_was(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, about their own libraries
        return [importlib.import_module(name) for name in names]


class _Nothing:
    """Takes the place of a class or function that is imported and not called; a DictConfig is its content."""

    def __new__(cls, content: Any = None, *args: Any, **kwargs: Any) -> Any:
        return content


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Empty modules for those that are not installed, for the time of the import."""
    made = []
    for name, members in UNUSED.items():
        if name not in sys.modules and not _installed(name):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None, is_package=True)
            module.__path__ = []
            for member in members:
                setattr(module, member, _Nothing)
            sys.modules[name] = module
            made.append(name)
            parent, _, child = name.rpartition(".")
            if parent in made:
                setattr(sys.modules[parent], child, module)
    if "matcha.utils" not in sys.modules:
        # Its __init__ imports the whole training side; the files beside it do not need that.
        matcha = importlib.util.find_spec("matcha")
        module = ModuleType("matcha.utils")
        module.__path__ = [str(Path(place) / "utils") for place in (matcha and matcha.submodule_search_locations) or ()]
        sys.modules["matcha.utils"] = module
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """The original turns on debug messages of every library when it is imported."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
