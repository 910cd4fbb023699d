"""Judge a result of generated source against PyTorch's."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tolerances import RELATIVE, allowed_error, measure, worst_element

SMALLEST_SCALE = 1e-3
COLUMN_RATIO = 1e-2  # columns smaller than this share of the largest are judged by themselves
CANCELLED = 2.0**-21  # of the largest value: a few roundings to float32 of terms that large, layer after layer


@dataclass(frozen=True, slots=True)
class Agreement:
    """One compared array. error and own (PyTorch's float32 error) are relative to scale, the largest reference value.

    The error of integers and booleans is the number of values that differ.
    tolerance: the row of the tolerance table. random: PyTorch draws the result anew in every run; it is not compared.
    zero: PyTorch's are floating numbers and all zero, on which agreement proves nothing.
    near_tie: the result is not PyTorch's, but what PyTorch gives when its inputs move by a few roundings.
    """

    ok: bool
    error: float
    own: float
    scale: float
    why: str = ""
    tolerance: str = "float32"
    random: bool = False
    zero: bool = False
    near_tie: bool = False

    @property
    def degenerate(self) -> bool:
        """Whether the result is so small that agreement on it proves nothing."""
        return self.scale < SMALLEST_SCALE


NOT_COMPARED = Agreement(True, 0, 0, 0, "random: not compared", random=True)


def tolerance_of(*tensors: Any) -> str:
    """Return the row of the tolerance table for a computation: the dtype in which most of its floating numbers are.

    Shapes: tensors are a module's weights and inputs, of any shape.
    """
    counts: dict[str, int] = {}
    for tensor in tensors:
        name = str(tensor.dtype).removeprefix("torch.")
        if name in RELATIVE:
            counts[name] = counts.get(name, 0) + tensor.numel()
    return max(counts, key=lambda name: counts[name], default="float32")


def agree(
    ours: np.ndarray, torch32: np.ndarray, torch64: np.ndarray | None = None, tolerance: str = "float32"
) -> Agreement:
    """Compare our result with PyTorch's own, `torch32`, under a row of the tolerance table.

    Shape and dtype must be PyTorch's. Integers and booleans must be equal; NaN and infinities must stand where
    PyTorch has them. A result smaller than SMALLEST_SCALE is measured as if it were that large.

    Shapes: all three [...].
    """
    if ours.shape != torch32.shape:
        return _failure(f"shape {list(ours.shape)}, PyTorch's is {list(torch32.shape)}")
    if ours.dtype != torch32.dtype:
        return _failure(f"dtype {ours.dtype}, PyTorch's is {torch32.dtype}")
    if torch32.dtype.kind in "biu":
        difference = measure(ours, torch32)
        n_wrong = difference.n_different
        if tolerance != "float32" and torch64 is not None:  # rounding to 16 bits decides among near equals
            n_wrong = int(np.count_nonzero((ours != torch32) & (ours != torch64)))
        why = f"{n_wrong} of {ours.size} values differ" if n_wrong else ""
        return Agreement(n_wrong == 0, float(n_wrong), 0, difference.scale, why)
    difference = measure(ours, torch32, torch64, smallest_scale=SMALLEST_SCALE)
    if difference.misplaced:
        return _failure(difference.misplaced)
    if (why := _wrong_columns(ours, torch32, torch64, tolerance)) is not None:
        return Agreement(False, difference.relative, difference.torch_relative or 0, difference.scale, why, tolerance)
    error, own, allowed = difference.relative, difference.torch_relative or 0.0, difference.allowed(tolerance)
    if error <= allowed:
        zero = bool(ours.size) and not np.any(torch32)
        return Agreement(True, error, own, difference.scale, tolerance=tolerance, zero=zero)
    place = worst_element(difference.index, difference.ours, difference.reference, difference.arbiter)
    return Agreement(
        False, error, own, difference.scale, f"relative error {error:.1e} > {allowed:.1e} {place}", tolerance
    )


def _wrong_columns(ours: np.ndarray, torch32: np.ndarray, torch64: np.ndarray | None, tolerance: str) -> str | None:
    """Return what is wrong in columns much smaller than the rest, such as probabilities beside boxes in pixels.

    Each is measured by its own largest value; what is allowed is twice the worst of PyTorch's own errors in them, or
    in float32 the rounding of larger terms that cancelled, as happens in the columns of a matrix product.
    Shapes: [..., N] each, or [B, N, ...].
    """
    exact = torch32 if torch64 is None else torch64
    for axis in {1, ours.ndim - 1} if ours.ndim > 1 and ours.size else ():
        others = tuple(i for i in range(ours.ndim) if i != axis)
        with np.errstate(invalid="ignore", over="ignore"):
            scales = np.max(np.abs(exact), axis=others)
            small = np.flatnonzero((scales < COLUMN_RATIO * scales.max()) & (scales >= SMALLEST_SCALE))
            if not small.size or not np.isfinite(scales).all():
                continue
            errors, owns = (
                np.max(np.abs(values.astype(exact.dtype) - exact), axis=others)[small] / scales[small]
                for values in (ours, torch32)
            )
        allowed = np.full(small.size, allowed_error(tolerance, None if torch64 is None else float(owns.max())))
        if tolerance == "float32":
            allowed = np.maximum(allowed, CANCELLED * scales.max() / scales[small])
        if not (errors <= allowed).all():
            worst = int((errors / allowed).argmax())
            return (
                f"relative error {errors[worst]:.1e} > {allowed[worst]:.1e} in place {small[worst]} of axis {axis}, "
                f"whose values are up to {scales[small[worst]]:.3g} beside {scales.max():.3g}"
            )
    return None


def _failure(why: str) -> Agreement:
    return Agreement(False, np.inf, 0, 0, why)


def summary(agreements: list[Agreement]) -> dict[str, Any]:
    """Return the worst of several agreements as plain data for a report."""
    worst = max(agreements, key=lambda one: (not one.ok, one.random, one.error), default=Agreement(True, 0, 0, 0))
    return {
        "ok": all(one.ok for one in agreements),
        "error": worst.error,
        "torch_float32_error": worst.own,
        "scale": worst.scale,
        "why": worst.why,
        **({} if worst.tolerance == "float32" else {"tolerance": worst.tolerance}),
        **({"random": True} if any(one.random for one in agreements) else {}),
        **({"zero": True} if any(one.zero for one in agreements) else {}),
        **({"near_tie": True} if any(one.near_tie for one in agreements) else {}),
    }
