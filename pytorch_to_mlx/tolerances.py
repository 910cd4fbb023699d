"""The one tolerance table, and the one measure of how far values are from PyTorch's.

`validate` judges the taps of a model by it, codegen/proof the submodules of a conversion.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

RELATIVE = {
    "float32": 1e-5,
    "float16": 1e-3,  # 2^-11 rounding of every stored value, a few layers deep
    "bfloat16": 1e-2,  # 2^-8
}
"""Largest allowed relative error. `exact` taps (ids, codes, durations) must be equal."""

FLOOR_FACTOR = 2.0
"""Or this many times the error that PyTorch's own float32 makes against its float64, where that is larger."""


def allowed_error(tolerance: str, torch_relative: float | None) -> float:
    """Return the relative error that is allowed beside PyTorch's own; None where that is not known."""
    return max(RELATIVE[tolerance], FLOOR_FACTOR * (torch_relative or 0.0))


@dataclass(frozen=True, slots=True)
class Difference:
    """How far our values are from the arbiter: PyTorch's in float64 where they are given, else in float32.

    max_abs: the largest |error|; index, ours, reference: where it is, and both values there (NaN of an empty array).
    scale: the largest |value| of the arbiter. relative: the error over the arbiter's size, both as the largest value
    or both as the root mean square. torch_relative: the same for PyTorch's float32; None without float64.
    snr_db: the arbiter's power over the error's, in decibels. n_different: values that are not equal to PyTorch's
    float32. n_nonfinite, n_reference_nonfinite: NaN and infinities of ours and of PyTorch's; errors are measured
    where both are finite. misplaced: how ours differ from PyTorch's in NaN and infinities; "" if they do not.
    """

    arbiter: str
    max_abs: float
    index: tuple[int, ...]
    ours: float
    reference: float
    scale: float
    relative: float
    torch_relative: float | None
    snr_db: float
    n_different: int
    n_nonfinite: int
    n_reference_nonfinite: int
    misplaced: str

    def allowed(self, tolerance: str) -> float:
        """Return the relative error that is allowed here."""
        return allowed_error(tolerance, self.torch_relative)


def measure(
    ours: np.ndarray,
    torch32: np.ndarray,
    torch64: np.ndarray | None = None,
    *,
    rms: bool = False,
    smallest_scale: float = 0.0,
) -> Difference:
    """Measure our values against PyTorch's float64 values, or its float32 ones where `torch64` is None.

    rms: relate root mean squares instead of largest values. smallest_scale: an arbiter smaller than this counts as
    this large, so that rounding errors around zero are not called relative to nothing.

    Shapes: all three [...], the same.
    """
    arbiter = "float32" if torch64 is None else "float64"
    n_different = int(np.count_nonzero(ours != torch32))
    exact = torch32 if torch64 is None else torch64
    kind = np.complex128 if any(np.iscomplexobj(values) for values in (ours, torch32, exact)) else np.float64
    ours, torch32, exact = (values.astype(kind) for values in (ours, torch32, exact))
    finite = np.isfinite(torch32)
    n_nonfinite = int(np.count_nonzero(~np.isfinite(ours)))
    n_reference_nonfinite = int(np.count_nonzero(~(finite & np.isfinite(exact))))
    misplaced = _misplaced(ours, torch32, finite) if n_nonfinite or not finite.all() else ""
    if n_nonfinite or n_reference_nonfinite:
        exact = np.where(np.isfinite(exact), exact, torch32)  # where float64 alone overflows, float32 is the arbiter
        compared = finite & np.isfinite(ours)
        ours, torch32, exact = (np.where(compared, values, 0) for values in (ours, torch32, exact))

    error = np.abs(ours - exact)
    index = np.unravel_index(int(error.argmax()), error.shape) if error.size else ()
    size = _rms if rms else _largest
    unit = max(size(exact), smallest_scale)
    return Difference(
        arbiter=arbiter,
        max_abs=_largest(error),
        index=tuple(int(i) for i in index),
        ours=_number(ours[index]) if error.size else float("nan"),
        reference=_number(exact[index]) if error.size else float("nan"),
        scale=_largest(exact),
        relative=_ratio(size(error), unit),
        torch_relative=None if torch64 is None else _ratio(size(torch32 - exact), unit),
        snr_db=_snr_db(exact, error),
        n_different=n_different,
        n_nonfinite=n_nonfinite,
        n_reference_nonfinite=n_reference_nonfinite,
        misplaced=misplaced,
    )


def worst_element(index: tuple[int, ...], ours: float, reference: float, arbiter: str, other: str = "PyTorch") -> str:
    """Return where the largest error is, and both values there, in words. other: whose the reference is."""
    whose = f"{other} ({arbiter})" if other == "PyTorch" else other
    return f"at {list(index)}: ours {ours:.9g}, {whose} {reference:.9g}"


def _misplaced(ours: np.ndarray, torch32: np.ndarray, finite: np.ndarray) -> str:
    if not np.array_equal(np.isnan(ours[~finite]), np.isnan(torch32[~finite])):
        return "NaN in other places than PyTorch's"
    infinite = ~finite & ~np.isnan(torch32)
    # Which part of a complex number overflows, and to which sign, depends on the order of its products.
    same = np.isinf(ours[infinite]).all() if np.iscomplexobj(ours) else (ours[infinite] == torch32[infinite]).all()
    if not same:
        return "infinities in other places than PyTorch's"
    if n_bad := int(np.count_nonzero(~np.isfinite(ours[finite]))):
        return f"{n_bad} of {ours.size} numbers are not finite where PyTorch's are"
    return ""


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values), initial=0))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(np.abs(values)).mean())) if values.size else 0.0


def _ratio(error: float, scale: float) -> float:
    return 0.0 if error == 0 else (error / scale if scale else float("inf"))


def _snr_db(exact: np.ndarray, error: np.ndarray) -> float:
    """Return signal power over error power in decibels; infinite where both are equal."""
    noise = float(np.square(error).sum())
    signal = float(np.square(np.abs(exact)).sum())
    return float("inf") if noise == 0 else (10 * float(np.log10(signal / noise)) if signal else float("-inf"))


def _number(value: Any) -> float:
    """Return a real number as it is, and of a complex one the magnitude."""
    return float(abs(value)) if np.iscomplexobj(value) else float(value)
