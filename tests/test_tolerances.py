"""tolerances.py: errors against the arbiter, PyTorch's own error, the worst element, NaN and infinities."""

import numpy as np
import pytest

from pytorch_to_mlx.tolerances import RELATIVE, measure, worst_element

INF, NAN = np.inf, np.nan


def test_float64_is_the_arbiter_where_it_is_given():
    exact = np.array([[0.0, 1.0], [-4.0, 2.0]])
    ours, torch32 = np.add(exact, [[0, 0], [0.4, 0]]), np.add(exact, [[0, 0.2], [0, 0]])
    difference = measure(ours, torch32, exact)
    assert (difference.arbiter, difference.index, difference.scale) == ("float64", (1, 0), 4.0)
    assert difference.max_abs == pytest.approx(0.4) and difference.relative == pytest.approx(0.1)
    assert difference.torch_relative == pytest.approx(0.05)
    assert (difference.ours, difference.reference) == (-3.6, -4.0)
    assert difference.snr_db == pytest.approx(10 * np.log10(21 / 0.16))
    assert difference.n_different == 2
    alone = measure(ours, torch32)
    assert alone.arbiter == "float32" and alone.torch_relative is None and alone.relative == pytest.approx(0.1)


def test_the_table_or_twice_the_own_error_is_allowed():
    exact = np.ones(4)
    assert measure(exact, exact, exact).allowed("float16") == RELATIVE["float16"] == 1e-3
    assert measure(exact, exact + 0.01, exact).allowed("float16") == pytest.approx(0.02)
    assert measure(exact, exact + 0.01).allowed("float16") == 1e-3


def test_root_mean_squares():
    exact = np.array([3.0, 4.0, 0.0, 0.0])
    difference = measure(np.add(exact, [0, 0, 0, 1]), exact, exact, rms=True)
    assert difference.relative == pytest.approx(0.2) and difference.scale == 4


def test_small_arbiters_count_as_the_smallest_scale():
    exact = np.array([1e-6, 0.0])
    ours, torch32 = np.add(exact, [0, 1e-9]), np.add(exact, [2e-9, 0])
    assert measure(ours, torch32, exact).relative == pytest.approx(1e-3)
    floored = measure(ours, torch32, exact, smallest_scale=1e-3)
    assert floored.relative == pytest.approx(1e-6) and floored.torch_relative == pytest.approx(2e-6)
    assert floored.scale == 1e-6
    zeros = np.zeros(2)
    assert measure(zeros, zeros).relative == 0 and measure(ours, zeros).relative == INF


@pytest.mark.parametrize(
    ("ours", "torch32", "misplaced"),
    [
        ([1, NAN, INF, -INF], [1, NAN, INF, -INF], ""),
        ([1, INF, INF, -INF], [1, NAN, INF, -INF], "NaN in other places than PyTorch's"),
        ([1, NAN, NAN, -INF], [1, NAN, INF, -INF], "NaN in other places than PyTorch's"),
        ([1, NAN, -INF, -INF], [1, NAN, INF, -INF], "infinities in other places than PyTorch's"),
        ([1, NAN, 5, -INF], [1, NAN, INF, -INF], "infinities in other places than PyTorch's"),
        ([NAN, 1, INF, 2], [1, 1, 1, 2], "2 of 4 numbers are not finite where PyTorch's are"),
        ([1 + 1j, INF], [1 + 1j, complex(0, INF)], ""),
        ([1 + 1j, 7], [1 + 1j, complex(0, INF)], "infinities in other places than PyTorch's"),
    ],
)
def test_misplaced_nan_and_infinities(ours, torch32, misplaced):
    difference = measure(np.array(ours), np.array(torch32))
    assert difference.misplaced == misplaced
    assert difference.max_abs == 0  # what both sides have finite is equal
    assert difference.n_nonfinite == np.sum(~np.isfinite(ours))
    assert difference.n_reference_nonfinite == np.sum(~np.isfinite(torch32))


def test_errors_beside_infinities_are_measured():
    torch32 = np.array([INF, 2.0, 1.0])
    difference = measure(np.array([INF, 2.0, 1.5]), torch32, np.array([1e39, 2.0, 1.0]))
    assert (difference.index, difference.relative, difference.torch_relative) == ((2,), 0.25, 0.0)


def test_where_float64_alone_overflows_float32_is_the_arbiter():
    difference = measure(np.array([1.0, 2.5]), np.array([1.0, 2.0]), np.array([1.0, NAN]))
    assert difference.relative == 0.25 and difference.n_reference_nonfinite == 1 and not difference.misplaced


def test_whole_numbers_and_complex_ones():
    big = np.array([2**53 + 1, 0])
    assert measure(big, big - [1, 0]).n_different == 1  # float64 holds both as 2^53
    flags = measure(np.array([True, False]), np.array([True, True]))
    assert flags.n_different == 1 and flags.scale == 1
    rotated = measure(np.array([3j]), np.array([3.0]))
    assert rotated.max_abs == pytest.approx(3 * np.sqrt(2)) and (rotated.ours, rotated.reference) == (3, 3)


def test_one_number_and_none():
    one = measure(np.float32(2.0), np.array(4.0))
    assert one.index == () and one.relative == 0.5 and one.ours == 2
    none = measure(np.zeros((0, 3)), np.zeros((0, 3)), rms=True)
    assert none.relative == none.scale == none.n_different == 0 and np.isnan(none.ours)


def test_the_worst_element_in_words():
    assert worst_element((0, 2), 1 / 3, 0.25, "float64") == "at [0, 2]: ours 0.333333333, PyTorch (float64) 0.25"
