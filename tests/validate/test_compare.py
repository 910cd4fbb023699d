"""The parity arithmetic: what passes, what fails, and that every failure says where."""

import numpy as np
import pytest

from pytorch_to_mlx.card import Tap
from pytorch_to_mlx.validate import compare

REFERENCE = np.linspace(-1, 1, 101)


def off_by(error: float, at: int = 30) -> np.ndarray:
    value = REFERENCE.copy()
    value[at] += error
    return value


def test_measures_against_float64():
    result = compare(Tap("x"), off_by(1e-6), off_by(3e-6), REFERENCE)
    assert result.passed and result.against == "float64" and result.index == (30,)
    assert result.max_abs == pytest.approx(1e-6) and result.relative == pytest.approx(1e-6)
    assert result.torch_relative == pytest.approx(3e-6)
    assert result.snr_db == pytest.approx(10 * np.log10(np.square(REFERENCE).sum() / 1e-12))


@pytest.mark.parametrize(
    ("ours", "torch32", "passed"),
    [(0.9e-5, 0, True), (1.1e-5, 0, False), (3.9e-5, 2e-5, True), (4.1e-5, 2e-5, False)],
    ids=["under the table", "over the table", "under twice torch's own error", "over twice torch's own error"],
)
def test_limit_is_the_table_or_twice_torchs_own_error(ours, torch32, passed):
    assert compare(Tap("x"), off_by(ours), off_by(torch32), REFERENCE).passed is passed


@pytest.mark.parametrize(
    ("ours", "problem"),
    [
        (REFERENCE[:50], "shape [50]"),
        (off_by(np.nan), "1 of 101 numbers are not finite"),
        (off_by(1e-3), "relative error"),
    ],
)
def test_failure_names_the_problem(ours, problem):
    result = compare(Tap("x"), ours, REFERENCE)
    assert not result.passed and problem in result.problem


def test_reference_that_proves_nothing_fails():
    assert "all zeros" in compare(Tap("x"), np.zeros(3), np.zeros(3)).problem
    assert "empty" in compare(Tap("x"), np.zeros(0), np.zeros(0)).problem
    assert "non-finite" in compare(Tap("x"), np.ones(1), np.array([np.inf])).problem


def test_exact_needs_equality_with_float32_torch():
    ids = np.array([3, 0, 7])
    assert compare(Tap("ids", "exact"), ids, ids, ids + 1).passed
    assert "1 of 3 values differ" in compare(Tap("ids", "exact"), np.array([3, 0, 8]), ids).problem
    assert compare(Tap("ids", "exact"), np.zeros(3, int), np.zeros(3, int)).passed


def test_own_limits_compare_with_float32_torch():
    tap = Tap("audio", max_abs=1e-3, min_snr_db=60, why="phases of a long sum")
    assert compare(tap, off_by(9e-4), REFERENCE, REFERENCE + 1).passed
    assert "max abs error" in compare(tap, off_by(2e-3), REFERENCE).problem
    assert "SNR" in compare(tap, REFERENCE + 9e-4, REFERENCE).problem


def test_root_mean_square_where_the_card_says_so():
    """One far sample among 101 weighs a tenth of what it does as the largest error."""
    tap = Tap("speech", measure="rms", why="chaotic")
    everywhere = REFERENCE + np.where(np.arange(101) % 2, 1e-3, -1e-3)
    result = compare(tap, off_by(9e-3), everywhere, REFERENCE)
    scale = np.sqrt(np.square(REFERENCE).mean())
    assert result.passed and result.relative == pytest.approx(9e-3 / np.sqrt(101) / scale)
    assert result.torch_relative == pytest.approx(1e-3 / scale) and "RMS" in result.limit
    assert not compare(tap, off_by(21e-3), everywhere, REFERENCE).passed
    with pytest.raises(ValueError, match="without a reason"):
        Tap("speech", measure="rms")


def test_other_shape_in_float64_leaves_float32_as_the_arbiter():
    assert compare(Tap("x"), REFERENCE, REFERENCE, REFERENCE[:-1]).against == "float32"


def test_float32_that_overflows_alone_proves_nothing():
    result = compare(Tap("x"), np.ones(2), np.array([np.inf, 1.0]), np.array([1e39, 1.0]))
    assert not result.passed and "1 non-finite" in result.problem


def test_imaginary_parts_count():
    assert not compare(Tap("x"), REFERENCE + 1j, REFERENCE).passed
