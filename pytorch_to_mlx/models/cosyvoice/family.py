"""CosyVoice's versions, as the rest of the program meets them."""

from functools import partial

import mlx.nn as nn

from ...checkpoint import Checkpoint
from ...contract import Family
from ...weights import WeightMap
from .card import CARD
from .config import Config
from .model import Model
from .pipeline import load
from .release.files import extra_files, is_release, open_release
from .versions import COSYVOICE2
from .weights import WEIGHTS


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
    weights=WEIGHTS[CARD.name],
    open_release=open_release,
    load=partial(load, version=COSYVOICE2),
    reference=reference,
    is_release=is_release,
    extra_files=extra_files,
    quantizes=is_quantized,
)
FAMILIES = (FAMILY,)
