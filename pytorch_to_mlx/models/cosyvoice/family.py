"""CosyVoice's versions, as the rest of the program meets them."""

import mlx.nn as nn

from ...checkpoint import Checkpoint
from ...contract import Family
from ...weights import WeightMap
from .card import CARD
from .config import Config
from .model import Model
from .pipeline import load
from .weights import WEIGHTS, extra_files, is_release, open_release


def reference() -> type:
    from .reference import Reference

    return Reference


def is_quantized(path: str, layer: nn.Module) -> bool:
    """Return whether a layer is the language model's: the rest is a fifth of the memory traffic, and loses audibly."""
    return path.startswith("lm.")


FAMILY: Family[WeightMap, Checkpoint] = Family(
    card=CARD,
    config=Config,
    model=Model,
    weights=WEIGHTS,
    open_release=open_release,
    load=load,
    reference=reference,
    is_release=is_release,
    extra_files=extra_files,
    quantizes=is_quantized,
)
FAMILIES = (FAMILY,)
