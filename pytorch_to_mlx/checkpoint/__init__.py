"""Read checkpoints of every format as {name: mx.array}; each is checked before it is used, and nothing in it is run."""

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
