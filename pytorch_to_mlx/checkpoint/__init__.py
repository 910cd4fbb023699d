"""Read checkpoints of every format as {name: mx.array}; each is checked before it is used, and nothing in it is run."""

from . import packaged
from .base import Checkpoint, TensorInfo
from .hub import resolve
from .json_file import read_config, read_json
from .open import open_checkpoint

__all__ = ["Checkpoint", "TensorInfo", "open_checkpoint", "packaged", "read_config", "read_json", "resolve"]
