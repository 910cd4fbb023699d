"""validate/report.py: the texts of a comparison."""

from dataclasses import replace

import numpy as np
import pytest

from pytorch_to_mlx.card import Tap
from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.validate import CaseResult, Report, compare
from pytorch_to_mlx.validate.report import MAX_ROWS, describe

RIGHT = compare(Tap("mel"), np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
WRONG = compare(Tap("audio", why="long sums", max_abs=0.1), np.array([1.0, 2.5]), np.array([1.0, 2.0]))


def test_a_report_that_passes():
    report = Report("toy", "here", (CaseResult("one", (RIGHT,)),), versions={"mlx": "0.32.4", "torch": "2.13.0"})
    assert report.check() is report and report.first_bad is None
    assert report.summary().splitlines() == [
        "toy: 1 tap in 1 case: pass: equal within the limits (here)",
        "mlx 0.32.4, torch 2.13.0",
    ]
    (row,) = report.rows()
    assert row["limit"] == "relative <= 1.0e-05" and row["reference f32"] == "0.00e+00" and row[""] == "pass"


def test_the_summary_says_where_the_weights_of_the_reference_come_from():
    report = Report("toy", "here", (CaseResult("one", (RIGHT,)),), weights_from="toy.pt, read by torch.load")
    assert "weights of the reference: toy.pt, read by torch.load" in report.summary().splitlines()


def test_the_first_failure_and_all_of_them():
    cases = (CaseResult("one", (RIGHT, WRONG)), CaseResult("two", (replace(RIGHT, passed=False, problem="NaN"), RIGHT)))
    report = Report("toy", "here", cases, problems=("no case reaches the tap 'ids'",))
    with pytest.raises(CheckError, match="toy differs from PyTorch first at tap 'audio' \\(case 'one'\\)") as error:
        report.check()
    assert list(error.value.details) == [
        "no case reaches the tap 'ids'",
        "one: audio: max abs error 5.00e-01 > 0.1 at [1]: ours 2.5, PyTorch (float32) 2",
        "two: mel: NaN at [0]: ours 1, PyTorch (float64) 1",
    ]
    assert report.to_dict()["first_bad"] == {"case": "one", "tap": "audio"}
    assert "limit of audio: long sums" in report.summary() and "FAIL" in report.summary()


def test_a_tap_that_no_case_reaches_is_incomplete():
    with pytest.raises(CheckError, match="toy is incomplete"):
        Report("toy", "here", (CaseResult("one", (RIGHT,)),), problems=("no case reaches the tap 'ids'",)).check()


def test_many_rows_become_the_worst_of_each_tap():
    far = replace(RIGHT, relative=0.5)
    cases = tuple(CaseResult(str(i), (far if i == 7 else RIGHT,)) for i in range(MAX_ROWS + 1))
    assert len(Report("toy", "here", cases[:-1]).rows()) == MAX_ROWS
    (row,) = Report("toy", "here", cases).rows()
    assert row["case"] == f"worst of {MAX_ROWS + 1}" and row["relative"] == "5.00e-01"
    bad = CaseResult("bad", (replace(RIGHT, passed=False),))
    assert not Report("toy", "here", (*cases, bad)).worst()["mel"].passed


def test_a_problem_without_values():
    shape = compare(Tap("mel"), np.zeros((2, 3)), np.zeros(6))
    assert describe(shape) == "shape [2, 3], PyTorch's is [6]"
