"""codegen/reports/analysis.py: the lines and the page of an analysis."""

from pathlib import Path

import pytest

from pytorch_to_mlx.codegen.reports.analysis import ModuleAnalysis, OpUse
from pytorch_to_mlx.errors import CheckError


def analysis(*problems, **fields):
    ops = [
        OpUse("aten.linear.default", 3, "net.py:5", "blocks.0"),
        OpUse("aten.dropout.default", 1, "net.py:9", "", "random"),
    ]
    modules = [
        {"path": "(root)", "class": "Net<T>", "parameters": 0},
        {"path": "fc", "class": "Linear", "parameters": 1234},
    ]
    return ModuleAnalysis(
        "net.py:build", "Net<T>", not problems, "torch.export", 1234, modules, ops, {"x": "float32[s0, 8]"}, ["x[0]"],
        problems=list(problems), memory={"weights": 4936, "values": 1_500_000}, **fields,
    )  # fmt: skip


def test_summary_and_rows():
    assert analysis().summary().splitlines() == [
        "net.py:build: Net<T>, 1,234 parameters in 2 modules",
        "captured with torch.export: 4 ops of 2 kinds",
        "dynamic sizes: x[0]",
        "memory: weights 4.94 KB, values 1.5 MB",
        "would convert (not proved: convert compares it with PyTorch)",
    ]
    assert analysis().rows()[1] == {
        "op": "dropout.default", "count": 1, "first in": "(root)", "supported": "random",
    }  # fmt: skip


def test_problems_and_places():
    result = analysis("aten.dropout.default ×1", replaced={"fc": "Mine"}, data_dependent=["aten.nonzero at net.py:7"])
    assert result.summary().splitlines()[-4:] == [
        "replaced by a registered module: fc (Mine)",
        "result size depends on data: aten.nonzero at net.py:7",
        "would not convert: 1 problem",
        "  aten.dropout.default ×1",
    ]
    assert analysis("a", "b").verdict == "would not convert: 2 problems"


def test_what_was_not_captured_says_why():
    result = ModuleAnalysis("net.py:build", "Net", problems=["net.py:3: a branch on values"])
    assert result.summary().splitlines() == [
        "net.py:build: Net, 0 parameters in 0 modules",
        "would not convert: 1 problem",
        "  net.py:3: a branch on values",
    ]
    assert "Captured" not in result.html()


def test_the_page_escapes_every_text():
    page = analysis("a < b").html()
    assert "<script" not in page and "Net<T>" not in page and "a < b" not in page
    assert "Net&lt;T&gt;" in page and "<li>a &lt; b</li>" in page and "<p class=no>" in page
    assert "<td>net.py:5</td><td>yes</td>" in page and "<td>1,234</td>" in page
    assert "<p class=yes>would convert (not proved" in analysis().html()


def test_the_page_has_relative_paths():
    """It is sent to other people: the folders of this machine are left out, of packages too."""
    places = [f"{Path.cwd()}/nets/net.py:3", "/usr/lib/python3/site-packages/torch/nn/functional.py:7", "/other/x.py:1"]
    uses = [OpUse(f"aten.op{number}", 1, place) for number, place in enumerate(places)]
    page = ModuleAnalysis("net.py:build", "Net", ops=uses, problems=[f"{places[0]}: no"]).html()
    for place in ("nets/net.py:3", "torch/nn/functional.py:7", "/other/x.py:1"):
        assert f"<td>{place}</td>" in page
    assert "<li>nets/net.py:3: no</li>" in page


def test_check_is_an_error_where_it_would_not_convert():
    with pytest.raises(CheckError, match=r"net.py:build: would not convert\n  no op"):
        ModuleAnalysis("net.py:build", "Net", problems=["no op"]).check()
    assert ModuleAnalysis("net.py:build", "Net", convertible=True).check().convertible
