"""Import the original Vocos and F5-TTS without what inference never calls."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ...errors import MachineError

# Imported at the top of the originals' files, but used only in training, for other features or for texts.
UNUSED = {
    "encodec": ("EncodecModel",),
    "librosa": (),
    "librosa.filters": ("mel",),
    "pypinyin": ("Style", "lazy_pinyin"),
    "rjieba": (),
    "torchaudio": (),
    "torchaudio.functional": (),
    "torchaudio.functional.functional": ("_hz_to_mel", "_mel_to_hz"),
}
TRAINING = {"f5_tts.model.trainer": ("Trainer",)}  # whatever is installed: it imports accelerate and wandb


def original(package: str, *names: str) -> list[ModuleType]:
    """Import modules of an original's package, such as `original("vocos", "vocos.models", "vocos.heads")`.

    Raises: MachineError if it is not installed.
    """
    missing = [
        name for name in (package, names[0].split(".")[0]) if importlib.util.find_spec(name.replace("-", "_")) is None
    ]
    if missing:
        raise MachineError(f"comparing with PyTorch needs the package '{package}'", fix=f"run: pip install {package}")
    with _stand_ins(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the originals', about their libraries
        return [importlib.import_module(name) for name in names]


def has_torchaudio() -> bool:
    """Return whether the mel spectrogram of the original can be computed."""
    return importlib.util.find_spec("torchaudio") is not None


class _Nothing:
    """Stand in for a class or function that is imported and not called."""


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put empty modules in place of those not installed, during the import."""
    absent = {name: members for name, members in UNUSED.items() if name not in sys.modules and not _installed(name)}
    stand_ins = {**absent, **{name: members for name, members in TRAINING.items() if name not in sys.modules}}
    for name, members in stand_ins.items():
        module: Any = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        for member in members:
            setattr(module, member, _Nothing)
        sys.modules[name] = module
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
