"""From disk to {name: mx.array}: every format checked before a byte of it is used, nothing in it executed."""

from . import packaged
from .base import Checkpoint, TensorInfo
from .hub import resolve
from .json_file import read_config, read_json
from .open import open_checkpoint

__all__ = ["Checkpoint", "TensorInfo", "open_checkpoint", "packaged", "read_config", "read_json", "resolve"]
