"""openWakeWord, as the rest of the program meets it."""

from ...checkpoint import Checkpoint
from ...contract import Family
from ...weights import WeightMap
from .card import CARD
from .config import EXPECTED, Config
from .model import Model
from .pipeline import load
from .weights import WEIGHTS, open_release


def reference() -> type:
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
    expected=EXPECTED,
)
FAMILIES = (FAMILY,)
