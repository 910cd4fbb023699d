"""The harness on a toy family: the first tap that diverges is named, and nothing passes by being absent."""

import numpy as np
import pytest

from pytorch_to_mlx.card import Tap
from pytorch_to_mlx.contract import Case, Reference
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.validate.run import run

TAPS = (Tap("hidden"), Tap("ids", "exact"), Tap("audio"))


class Toy(Reference):
    """audio = ids + hidden; `error` is added to one of our taps."""

    def __init__(self, **error):
        self.error = error

    def cases(self):
        return [Case("one", {"x": 1.0}), Case("two", {"x": 2.0})]

    def torch(self, case, dtype="float32"):
        hidden = np.full(4, case.inputs["x"], dtype)
        ids = np.arange(4)
        return {"hidden": hidden, "ids": ids, "audio": hidden + ids}

    def mlx(self, case):
        values = self.torch(case)
        return {
            name: value + self.error.get(name, 0)
            for name, value in values.items()
            if name not in self.error.get("drop", ())
        }


def report(**error):
    return run(Toy(**error), TAPS, family="toy", source="here")


def test_equal_sides_pass():
    found = report()
    assert found.passed and found.check() is found
    assert [case.name for case in found.cases] == ["one", "two"]
    assert [tap.name for tap in found.cases[0].taps] == ["hidden", "ids", "audio"]


def test_first_bad_tap_is_the_first_computed():
    found = report(audio=0.5, hidden=0.25)
    case, tap = found.first_bad
    assert (case, tap.name) == ("one", "hidden")
    with pytest.raises(CheckError, match="first at tap 'hidden'") as raised:
        found.check()
    assert raised.value.exit_code == 5
    assert "ours 1.25, PyTorch (float64) 1" in str(raised.value)


def test_other_ids_fail():
    assert report(ids=1).first_bad[1].problem == "4 of 4 values differ"


def test_missing_tap_is_an_error():
    with pytest.raises(FormatError, match="audio on one side only"):
        report(drop=("audio",))


def test_undeclared_tap_is_an_error():
    with pytest.raises(FormatError, match="does not declare: audio"):
        run(Toy(), TAPS[:2], family="toy", source="here")


def test_tap_that_no_case_reaches_fails():
    found = run(Toy(), (*TAPS, Tap("never")), family="toy", source="here")
    assert not found.passed and found.problems == ("no case reaches the tap 'never'",)


def test_cases_are_chosen_by_name():
    assert [c.name for c in run(Toy(), TAPS, family="toy", source="here", cases=["two"]).cases] == ["two"]
    with pytest.raises(UsageError, match="cases: one, two"):
        run(Toy(), TAPS, family="toy", source="here", cases=["three"])
