"""CosyVoice's versions, as the rest of the program meets them."""

from collections.abc import Callable
from functools import partial

import mlx.nn as nn

from ...card import ModelCard
from ...checkpoint import Checkpoint
from ...contract import Family
from ...weights import WeightMap
from .card import CARD, CARD1, CARD3
from .config import CONFIGS
from .model import Model
from .pipeline import load
from .release.files import extra_files, is_release, open_release
from .versions import VERSIONS
from .weights import WEIGHTS


def reference() -> type:
    from .reference import Reference

    return Reference


def reference1() -> type:
    from .reference_version1 import Reference1

    return Reference1


def is_quantized(path: str, layer: nn.Module) -> bool:
    """Return whether a layer is the language model's: the rest is a fifth of the memory traffic, and loses audibly."""
    return path.startswith("lm.")


def family_of(card: ModelCard, reference: Callable[[], type]) -> Family[WeightMap, Checkpoint]:
    """Return the family of one version."""
    version = VERSIONS[card.name]
    return Family(
        card=card,
        config=CONFIGS[card.name],
        model=Model,
        weights=WEIGHTS[card.name],
        open_release=partial(open_release, version=version),
        load=partial(load, version=version),
        reference=reference,
        is_release=partial(is_release, version=version),
        extra_files=partial(extra_files, version=version),
        quantizes=is_quantized,
    )


FAMILY = family_of(CARD, reference)
FAMILIES = (FAMILY, family_of(CARD3, reference), family_of(CARD1, reference1))
