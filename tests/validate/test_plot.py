"""The picture of a validation holds every tap, and says which failed."""

import sys

import pytest

from pytorch_to_mlx.cli import general
from pytorch_to_mlx.errors import MissingExtraError, UsageError
from pytorch_to_mlx.validate import run
from pytorch_to_mlx.validate.compare import TapResult
from pytorch_to_mlx.validate.plot import plot
from pytorch_to_mlx.validate.report import CaseResult, Report


def tap(name, relative, *, passed=True, tolerance="float32", torch_relative=1e-7):
    return TapResult(name, passed, tolerance, (3,), "float64", relative, relative, 100.0, "", torch_relative)


TAPS = (tap("mel", 2e-7), tap("codes", 0.0, tolerance="exact", torch_relative=None), tap("audio", 1e-3, passed=False))
REPORT = Report("toy", "packaged:toy", (CaseResult("one", TAPS),))


def test_svg_names_every_tap_and_the_failure(tmp_path):
    plot(REPORT, tmp_path / "parity.svg")
    text = (tmp_path / "parity.svg").read_text()
    for words in ("mel", "codes", "audio FAIL", "toy: 1 case, FAIL", "PyTorch float32"):
        assert f"<!-- {words} -->" in text, words


def test_same_report_gives_the_same_text(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot(REPORT, tmp_path / name)
    names = [[line for line in (tmp_path / n).read_text().splitlines() if "<!--" in line] for n in ("a.svg", "b.svg")]
    assert names[0] == names[1]


def test_file_that_is_not_a_picture(tmp_path):
    with pytest.raises(UsageError, match="the plot cannot be written"):
        plot(REPORT, tmp_path / "parity.doc")
    assert not list(tmp_path.iterdir())


def test_taps_without_a_float64_reference(tmp_path):
    report = Report("toy", "packaged:toy", (CaseResult("one", TAPS[1:2]),))
    plot(report, tmp_path / "parity.svg")
    text = (tmp_path / "parity.svg").read_text()
    assert "<!-- codes -->" in text and "<!-- limit -->" not in text


def test_what_cannot_be_drawn_is_found_before_the_work(tmp_path, monkeypatch):
    """Matplotlib was found missing, and an ending unknown, after minutes of validation."""
    monkeypatch.setattr(run, "find_model", lambda *_, **__: pytest.fail("the work began"))
    for path, says in ((tmp_path / "a.foo", "not the ending of a picture"), (tmp_path / "no" / "a.svg", "folder")):
        with pytest.raises(UsageError, match=says):
            general.validate("packaged:silero-vad", plot=path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pytorch-to-mlx\[plot\]"):
        general.validate("packaged:silero-vad", plot=tmp_path / "a.svg")
