"""The parts of F5-TTS and E2-TTS that `convert`, `validate`, `benchmark` and `load` use."""

from ...checkpoint import Checkpoint
from ...contract import Family
from ...contract import Reference as Contract
from ...weights import WeightMap
from .card import CARD
from .config import IGNORED, VARIANTS, Config
from .model import Model
from .pipeline import load
from .release import extra_files, is_release, open_release
from .weights import WEIGHTS


def reference() -> type[Contract]:
    """Import and return the comparison with the original; nothing else needs it."""
    from .reference import Reference

    return Reference


FAMILY: Family[WeightMap, Checkpoint] = Family(
    card=CARD,
    config=Config,
    model=Model,
    weights=WEIGHTS,
    open_release=open_release,
    load=load,
    reference=reference,
    ignored=IGNORED,
    is_release=is_release,
    extra_files=extra_files,
    variants=VARIANTS,
)
FAMILIES = (FAMILY,)
