"""Judge one tap: our value against PyTorch's, with PyTorch in float64 as the arbiter where it is given."""

from dataclasses import dataclass

import numpy as np

from ..card import Tap
from ..tolerances import Difference, measure


@dataclass(frozen=True)
class TapResult:
    """How one tap compares.

    max_abs, relative (max |error| / max |reference|, or both as root mean squares where the tap's measure is that)
    and snr_db are measured against `against`: float64 PyTorch, or float32 PyTorch where no float64 value is given
    or the tap sets its own limits. torch_relative is the same measure of float32 PyTorch against float64.
    `limit` is what was allowed, `problem` why it failed.
    """

    name: str
    passed: bool
    tolerance: str
    shape: tuple[int, ...]
    against: str
    max_abs: float
    relative: float
    snr_db: float
    limit: str
    torch_relative: float | None = None
    index: tuple[int, ...] = ()
    ours: float | None = None
    reference: float | None = None
    problem: str = ""
    why: str = ""
    other: str = "PyTorch"


def compare(
    tap: Tap,
    ours: np.ndarray,
    torch32: np.ndarray,
    torch64: np.ndarray | None = None,
    *,
    zeros_prove: bool = False,
    other: str = "PyTorch",
) -> TapResult:
    """Compare one tap under its tolerance. other: whose the reference is, for messages.

    Every number must be finite. A reference of nothing but zeros proves nothing and fails, unless it is a stored
    tensor (`zeros_prove`). torch64 is left out where its shape differs and where the tap sets its own limits.

    Shapes: ours, torch32 [...], the same.
    """
    ours, torch32 = np.asarray(ours), np.asarray(torch32)
    torch64 = None if torch64 is None else np.asarray(torch64)
    own_limits = tap.max_abs is not None or tap.min_snr_db is not None
    if tap.tolerance == "exact" or own_limits or (torch64 is not None and torch64.shape != torch32.shape):
        torch64 = None
    against = "float32" if torch64 is None else "float64"

    def failure(problem: str) -> TapResult:
        nan = float("nan")
        return TapResult(
            tap.name, False, tap.tolerance, ours.shape, against, nan, nan, nan, "", problem=problem, other=other
        )

    if ours.shape != torch32.shape:
        return failure(f"shape {list(ours.shape)}, {other}'s is {list(torch32.shape)}")
    if ours.size == 0:
        return failure("nothing to compare: the tap is empty")
    rms = tap.measure == "rms"
    difference = measure(ours, torch32, torch64, rms=rms)
    if difference.n_reference_nonfinite:
        return failure(f"{other}'s own value holds {difference.n_reference_nonfinite} non-finite numbers")
    if difference.n_nonfinite:
        return failure(f"{difference.n_nonfinite} of {ours.size} numbers are not finite")

    if tap.tolerance == "exact":
        n_different = difference.n_different
        limit, problem = "equal", f"{n_different} of {ours.size} values differ" if n_different else ""
    elif difference.scale == 0 and not (zeros_prove and difference.max_abs == 0):
        limit, problem = "", f"{other}'s value is all zeros: the case proves nothing"
    elif own_limits:
        limit, problem = _own_limits(tap, difference)
    else:
        allowed = difference.allowed(tap.tolerance)
        limit = f"relative{' (RMS)' if rms else ''} <= {allowed:.1e}"
        too_far = difference.relative > allowed
        problem = f"relative error {difference.relative:.2e} > {allowed:.2e}" if too_far else ""
    return TapResult(
        tap.name,
        not problem,
        tap.tolerance,
        ours.shape,
        against,
        difference.max_abs,
        difference.relative,
        difference.snr_db,
        limit,
        difference.torch_relative,
        difference.index,
        difference.ours,
        difference.reference,
        problem,
        tap.why,
        other,
    )


def _own_limits(tap: Tap, difference: Difference) -> tuple[str, str]:
    limits, problems = [], []
    if tap.max_abs is not None:
        limits.append(f"max abs <= {tap.max_abs:g}")
        if difference.max_abs > tap.max_abs:
            problems.append(f"max abs error {difference.max_abs:.2e} > {tap.max_abs:g}")
    if tap.min_snr_db is not None:
        limits.append(f"SNR >= {tap.min_snr_db:g} dB")
        if difference.snr_db < tap.min_snr_db:
            problems.append(f"SNR {difference.snr_db:.1f} dB < {tap.min_snr_db:g}")
    return ", ".join(limits), ", ".join(problems)
