"""When do two results agree: the error against float64 torch, measured against the size of the result."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tolerances import FLOOR_FACTOR, RELATIVE

SMALLEST_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class Agreement:
    """One compared array. error and own are relative to scale, the largest magnitude of the reference."""

    ok: bool
    error: float
    own: float
    scale: float
    why: str = ""

    @property
    def degenerate(self) -> bool:
        """A result so small that agreement on it proves nothing."""
        return self.scale < SMALLEST_SCALE


def agree(ours: np.ndarray, torch32: np.ndarray, torch64: np.ndarray | None = None) -> Agreement:
    """Compare our result with float64 torch; allowed is max(1e-5, twice the error of torch's own float32 result).

    Integers and booleans must be equal to torch's; NaN and infinities must stand where torch has them.
    """
    if ours.shape != torch32.shape:
        return Agreement(False, np.inf, 0, 0, f"shape {ours.shape} instead of {torch32.shape}")
    if ours.dtype != torch32.dtype:
        return Agreement(False, np.inf, 0, 0, f"dtype {ours.dtype} instead of {torch32.dtype}")
    if torch32.dtype.kind in "biu":
        wrong = int(np.sum(ours != torch32))
        scale = float(np.max(np.abs(torch32.astype(np.float64)), initial=0))
        return Agreement(wrong == 0, float(wrong), 0, scale, f"{wrong} of {ours.size} differ" if wrong else "")
    truth = torch32 if torch64 is None else torch64
    wide = np.complex128 if truth.dtype.kind == "c" else np.float64
    ours, torch32, truth = ours.astype(wide), torch32.astype(wide), truth.astype(wide)
    finite = np.isfinite(torch32)
    truth = np.where(np.isfinite(truth), truth, torch32)  # code that overflows in float64 alone proves nothing there
    special = ~finite
    if not np.array_equal(np.isnan(ours[special]), np.isnan(torch32[special])):
        return Agreement(False, np.inf, 0, 0, "NaN in other places")
    infinite = special & ~np.isnan(torch32)
    if wide is np.float64 and not np.array_equal(ours[infinite], torch32[infinite]):
        return Agreement(False, np.inf, 0, 0, "infinities in other places")
    if not np.all(np.isfinite(ours[finite])):
        return Agreement(False, np.inf, 0, 0, "not finite where torch is")
    scale = float(np.max(np.abs(truth[finite]), initial=0))
    unit = max(scale, SMALLEST_SCALE)
    error = float(np.max(np.abs(ours - truth)[finite], initial=0)) / unit
    own = float(np.max(np.abs(torch32 - truth)[finite], initial=0)) / unit
    allowed = max(RELATIVE["float32"], FLOOR_FACTOR * own)
    ok = error <= allowed
    return Agreement(ok, error, own, scale, "" if ok else f"error {error:.1e} against {allowed:.1e}")


def summary(found: list[Agreement]) -> dict[str, Any]:
    """The worst of several agreements, as plain data for a report."""
    worst = max(found, key=lambda a: (not a.ok, a.error), default=Agreement(True, 0, 0, 0))
    return {
        "ok": all(a.ok for a in found),
        "error": worst.error,
        "torch_float32_error": worst.own,
        "scale": worst.scale,
        "why": worst.why,
    }
