"""The parts of the language models that `convert`, `validate`, `benchmark` and `load` use."""

from ...checkpoint import Checkpoint
from ...contract import Family
from ...contract import Reference as Contract
from ...weights import WeightMap
from .card import CARD
from .config import IGNORED, Config
from .files import extra_files
from .model import build
from .pipeline import load
from .recipes import RECIPES
from .token_model import LlamaTokens
from .weights import WEIGHTS, open_release


def reference() -> type[Contract]:
    """Import and return the comparison with transformers; nothing else needs it."""
    from .reference import Reference

    return Reference


FAMILY: Family[WeightMap, Checkpoint] = Family(
    card=CARD,
    config=Config,
    model=build,
    weights=WEIGHTS,
    open_release=open_release,
    load=load,
    reference=reference,
    ignored=IGNORED,
    extra_files=extra_files,
    recipes=RECIPES,
    token_model=LlamaTokens,
)
FAMILIES = (FAMILY,)
