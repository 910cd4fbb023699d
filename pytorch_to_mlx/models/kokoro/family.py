"""The parts of Kokoro that `convert`, `validate`, `benchmark` and `load` use."""

from collections.abc import Mapping
from typing import Any

from ...checkpoint import Checkpoint
from ...contract import Family
from ...contract import Reference as Contract
from ...weights import WeightMap
from .card import CARD
from .config import IGNORED, Config
from .model import Model
from .pipeline import load
from .weights import WEIGHTS, extra_files, open_release


def reference() -> type[Contract]:
    """Import and return the comparison with the original; nothing else needs it."""
    from .reference import Reference

    return Reference


def reference_parts() -> Mapping[str, Any]:
    """Import and return parts of the original beside ours, at full size; only `benchmark coverage` needs them."""
    from .reference_parts import PARTS

    return PARTS


FAMILY: Family[WeightMap, Checkpoint] = Family(
    card=CARD,
    config=Config,
    model=Model,
    weights=WEIGHTS,
    open_release=open_release,
    load=load,
    reference=reference,
    ignored=IGNORED,
    extra_files=extra_files,
    reference_parts=reference_parts,
)
FAMILIES = (FAMILY,)
