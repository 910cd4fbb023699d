"""The parts of NLLB-200 and M2M100 that `convert`, `validate`, `benchmark` and `load` use."""

from ...checkpoint import Checkpoint
from ...contract import Family
from ...contract import Reference as Contract
from ...generate.token_model import token_model
from ...weights import WeightMap
from .card import CARD
from .config import EXPECTED, IGNORED, Config
from .model import Model
from .pipeline import extra_files, load
from .weights import WEIGHTS, open_release


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
    expected=EXPECTED,
    extra_files=extra_files,
    token_model=token_model,
    rounds_activations=True,
)
FAMILIES = (FAMILY,)
