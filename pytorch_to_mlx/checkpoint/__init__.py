"""From disk to {name: mx.array}: every format checked before a byte of it is used, nothing in it executed."""

from . import packaged
from .base import Checkpoint, TensorInfo
from .json_file import read_config, read_json
from .names import Located, default_source, locate
from .open import open_checkpoint

__all__ = [
    "Checkpoint",
    "Located",
    "TensorInfo",
    "default_source",
    "locate",
    "open_checkpoint",
    "packaged",
    "read_config",
    "read_json",
]
