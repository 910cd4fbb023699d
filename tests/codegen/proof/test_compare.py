"""codegen/proof/compare.py: which results of generated source agree with PyTorch's."""

import numpy as np
import pytest

from pytorch_to_mlx.codegen.proof.compare import Agreement, agree, summary

EXACT = np.linspace(-2, 2, 5)


def near(error: float) -> np.ndarray:
    return np.add(EXACT, [0, 0, 0, 0, error]).astype(np.float32)


def test_allowed_is_the_table_or_twice_the_own_error():
    assert agree(near(1.9e-5), near(0), EXACT).ok
    assert not agree(near(3e-5), near(0), EXACT).ok
    assert agree(near(3e-5), near(2e-5), EXACT).ok
    wrong = agree(near(0.5), near(0), EXACT)
    assert not wrong.ok and wrong.error == 0.25 and wrong.scale == 2
    assert wrong.why == "relative error 2.5e-01 > 1.0e-05 at [4]: ours 2.5, PyTorch (float64) 2"


def test_halves_are_judged_as_float32():
    assert not agree(near(1e-3).astype(np.float16), near(0).astype(np.float16)).ok


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        (near(0)[:3], "shape [3], PyTorch's is [5]"),
        (near(0).astype(np.float16), "dtype float16, PyTorch's is float32"),
        (near(np.nan), "1 of 5 numbers are not finite where PyTorch's are"),
    ],
)
def test_failures_without_a_measure(ours, why):
    agreement = agree(ours, near(0), EXACT)
    assert (agreement.ok, agreement.error, agreement.why) == (False, np.inf, why)


def test_integers_must_be_equal():
    ids = np.array([3, -9, 0])
    assert agree(ids, ids, ids + 0.5) == Agreement(True, 0, 0, 9)
    assert agree(np.add(ids, [0, 1, 1]), ids) == Agreement(False, 2, 0, 9, "2 of 3 values differ")
    assert not agree(np.array([True]), np.array([False])).ok


def test_results_near_zero_are_degenerate():
    tiny = np.array([1e-7], np.float32)
    agreement = agree(2 * tiny, tiny)
    assert not agreement.ok and agreement.degenerate  # 1e-7 / 1e-3 is over 1e-5
    assert agree(tiny + np.float32(5e-9), tiny).ok
    assert not agree(near(0), near(0)).degenerate and agree(np.zeros(0), np.zeros(0)).ok


def test_summary_is_of_the_worst():
    fine, close, wrong = Agreement(True, 2e-6, 1e-6, 3), Agreement(True, 9e-6, 0, 1), Agreement(False, 0, 0, 0, "shape")
    assert summary([fine, close]) == {"ok": True, "error": 9e-6, "torch_float32_error": 0, "scale": 1, "why": ""}
    assert summary([fine, wrong, close])["why"] == "shape" and not summary([fine, wrong])["ok"]
    assert summary([])["ok"]
