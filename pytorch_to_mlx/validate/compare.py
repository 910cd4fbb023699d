"""One tap: our value against PyTorch's, with float64 PyTorch as the arbiter where it is given."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..card import Tap
from ..tolerances import FLOOR_FACTOR, RELATIVE


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


def compare(
    tap: Tap,
    ours: np.ndarray,
    torch32: np.ndarray,
    torch64: np.ndarray | None = None,
    *,
    zeros_prove: bool = False,
) -> TapResult:
    """Compare one tap under its tolerance.

    A computed value of nothing but zeros proves nothing and fails; stored tensors may be zero (`zeros_prove`).
    """
    ours, torch32 = np.asarray(ours), np.asarray(torch32)
    own_limits = tap.max_abs is not None or tap.min_snr_db is not None
    arbiter, against = torch32, "float32"
    if torch64 is not None and np.shape(torch64) == torch32.shape and tap.tolerance != "exact" and not own_limits:
        arbiter, against = np.asarray(torch64), "float64"

    def failed(problem: str) -> TapResult:
        nan = float("nan")
        return TapResult(tap.name, False, tap.tolerance, ours.shape, against, nan, nan, nan, "", problem=problem)

    if ours.shape != torch32.shape:
        return failed(f"shape {list(ours.shape)}, PyTorch's is {list(torch32.shape)}")
    if ours.size == 0:
        return failed("nothing to compare: the tap is empty")
    exact = arbiter.astype(np.complex128 if np.iscomplexobj(arbiter) else np.float64)
    finite = np.isfinite(exact)
    if not finite.all():
        return failed(f"PyTorch's own value holds {(~finite).sum()} non-finite numbers")
    if not np.isfinite(ours).all():
        return failed(f"{(~np.isfinite(ours)).sum()} of {ours.size} numbers are not finite")

    error = np.abs(ours.astype(exact.dtype) - exact)
    index = np.unravel_index(int(error.argmax()), error.shape)
    max_abs, scale = float(error.max()), float(np.abs(exact).max())
    size = _rms if tap.measure == "rms" else _largest
    relative = _relative(size(error), size(exact))
    snr_db = _snr_db(exact, error)
    torch_relative = None
    if against == "float64":
        torch_relative = _relative(size(torch32.astype(exact.dtype) - exact), size(exact))

    problem = ""
    if tap.tolerance == "exact":
        limit = "equal"
        if max_abs:
            problem = f"{int((error > 0).sum())} of {error.size} values differ"
    elif scale == 0 and not (zeros_prove and max_abs == 0):
        limit, problem = "", "PyTorch's value is all zeros: the case proves nothing"
    elif own_limits:
        limit, problem = _own_limits(tap, max_abs, snr_db)
    else:
        allowed = max(RELATIVE[tap.tolerance], FLOOR_FACTOR * (torch_relative or 0.0))
        limit = f"relative{' (RMS)' if tap.measure == 'rms' else ''} <= {allowed:.1e}"
        if relative > allowed:
            problem = f"relative error {relative:.2e} > {allowed:.2e}"
    return TapResult(
        tap.name,
        not problem,
        tap.tolerance,
        ours.shape,
        against,
        max_abs,
        relative,
        snr_db,
        limit,
        torch_relative,
        tuple(int(i) for i in index),
        _number(ours[index]),
        _number(arbiter[index]),
        problem,
        tap.why,
    )


def _own_limits(tap: Tap, max_abs: float, snr_db: float) -> tuple[str, str]:
    limits, problems = [], []
    if tap.max_abs is not None:
        limits.append(f"max abs <= {tap.max_abs:g}")
        if max_abs > tap.max_abs:
            problems.append(f"max abs error {max_abs:.2e} > {tap.max_abs:g}")
    if tap.min_snr_db is not None:
        limits.append(f"SNR >= {tap.min_snr_db:g} dB")
        if snr_db < tap.min_snr_db:
            problems.append(f"SNR {snr_db:.1f} dB < {tap.min_snr_db:g}")
    return ", ".join(limits), ", ".join(problems)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(np.abs(values)).mean()))


def _relative(error: float, scale: float) -> float:
    return 0.0 if error == 0 else (error / scale if scale else float("inf"))


def _snr_db(exact: np.ndarray, error: np.ndarray) -> float:
    """Signal power over error power in decibels; infinite where both are equal."""
    noise = float(np.square(error).sum())
    signal = float(np.square(np.abs(exact)).sum())
    return float("inf") if noise == 0 else (10 * float(np.log10(signal / noise)) if signal else float("-inf"))


def _number(value: Any) -> float:
    return float(abs(value)) if np.iscomplexobj(value) else float(value)
