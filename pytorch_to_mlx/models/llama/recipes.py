"""The mixtures of bits that mlx-lm knows: more for the layers that lose most, as llama.cpp's Q4_K_M chooses them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import UsageError

NAMES = ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6")


def _mixed(recipe: str, module: Any, group_size: int) -> Callable[..., Any]:
    """Return how many bits each layer gets. Raises: UsageError for an architecture without the layers it names."""
    from mlx_lm.convert import mixed_quant_predicate_builder

    try:
        return mixed_quant_predicate_builder(recipe, module, group_size)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"the recipe {recipe} is not for this architecture: {error}") from None


RECIPES = {name: partial(_mixed, name) for name in NAMES}
