"""The pytest face of `pytorch_to_mlx.validate`: the same comparison, as assertions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytorch_to_mlx.card import Tap
from pytorch_to_mlx.validate.compare import TapResult, compare
from pytorch_to_mlx.validate.report import describe
from pytorch_to_mlx.validate.run import compare_taps


def numpy_of(value: Any) -> np.ndarray:
    """A NumPy array from an mx.array (bfloat16 widened), a torch tensor or anything else."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if type(value).__module__.startswith("mlx") and str(value.dtype).endswith("bfloat16"):
        value = value.astype(type(value)(0.0).dtype)
    return np.array(value)


def assert_close(ours: Any, torch32: Any, torch64: Any = None, *, tolerance: str = "float32", name: str = "value"):
    """Our value is PyTorch's: relative error <= the table's, or 2 x float32 PyTorch's own where float64 is given.

    The values may be mx.arrays, torch tensors or NumPy arrays. `tolerance="exact"` asks for equality.
    """
    wide = None if torch64 is None else numpy_of(torch64)
    result = compare(Tap(name, tolerance), numpy_of(ours), numpy_of(torch32), wide)
    assert result.passed, f"{name}: {describe(result)}"
    return result


def assert_taps(
    taps: Sequence[Tap], ours: Mapping[str, Any], torch32: Mapping[str, Any], torch64: Mapping[str, Any] | None = None
) -> tuple[TapResult, ...]:
    """Every tap agrees; the message names the first that does not, in the order of computation."""
    sides = [{k: numpy_of(v) for k, v in side.items()} for side in (ours, torch32, torch64 or {})]
    results = compare_taps(taps, *sides)
    missing = [tap.name for tap in taps if tap.name not in sides[0]]
    assert not missing, f"taps that were not recorded: {missing}"
    bad = [f"{tap.name}: {describe(tap)}" for tap in results if not tap.passed]
    assert not bad, "first tap that diverges: " + "\n  then ".join(bad)
    return results
