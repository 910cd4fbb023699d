"""Ops and modules that a user registers: in the source, in the proof, from the command line; every mistake named."""

import json
import os
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn
import pytest
import torch
from command import run
from torch import nn

from pytorch_to_mlx import analyze, convert, validate
from pytorch_to_mlx.codegen import extensions, register_module, register_op
from pytorch_to_mlx.codegen.lowering import functions
from pytorch_to_mlx.codegen.lowering.ops import op_table
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"


@pytest.fixture(autouse=True)
def registrations_restored():
    tables = extensions._MODULES, op_table._TABLE, functions._USER_FUNCTIONS, extensions._FILES
    before = dict(extensions._MODULES), dict(op_table.table()), dict(functions._USER_FUNCTIONS), dict(extensions._FILES)
    yield
    for name in ("own_parts", "own_parts_mlx"):
        sys.modules.pop(name, None)
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def write(folder, old="", new=""):
    """The two files of the example, the second one changed."""
    (folder / "own_parts.py").write_text((EXAMPLES / "own_parts.py").read_text())
    text = (EXAMPLES / "own_parts_mlx.py").read_text()
    assert old in text
    (folder / "own_parts_mlx.py").write_text(text.replace(old, new))


def test_the_example_from_the_command_line(tmp_path):
    write(tmp_path)
    process = run("analyze", "own_parts.py:build", "--json", cwd=tmp_path)
    problems = " ".join(json.loads(process.stdout)["problems"])
    assert "own.soft_clip.default" in problems and "own_parts.py" in problems and "register_op" not in problems
    process = run("convert", "own_parts.py:build", "--mlx-path", "plain", cwd=tmp_path)
    assert process.returncode == 4 and b"own.soft_clip.default has no lowering" in process.stderr
    process = run("convert", "own_parts.py:build", "--mlx-path", "out", "--extend", "own_parts_mlx.py", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    text = (tmp_path / "out" / "model.py").read_text()
    assert text.count("class PowerNorm(nn.Module)") == 1 and "PowerNorm(dims=dims, degree=degree)" in text
    sizes = json.loads((tmp_path / "out" / "config.json").read_text())["sizes"]
    assert sizes["dims"] == 8 and sizes["degree"] == 4
    assert "self.norm(states=x, mask=mask)" in text and "pytorch_to_mlx" not in text.split('"""')[2]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["replaced"] == {"blocks.0.norm": "PowerNorm", "blocks.1.norm": "PowerNorm"}
    assert {"blocks.0.norm", "blocks.1.norm"} <= {one["path"] for one in report["submodules"]} and not report["unused"]
    process = run("validate", "out", "--source", "own_parts.py:build", "--extend", "own_parts_mlx.py", cwd=tmp_path)
    assert process.returncode == 0, process.stderr


def test_a_wrong_replacement_is_found(tmp_path, monkeypatch):
    write(tmp_path, "+ 1e-6", "+ 1e-2")
    monkeypatch.chdir(tmp_path)
    result = convert("own_parts.py:build", "out", extend=["own_parts_mlx.py"])
    wrong = {one["path"] for one in result.submodules if not one["ok"]}
    assert {"blocks.0.norm", "blocks.1.norm"} <= wrong and "blocks.0.out" not in wrong
    with pytest.raises(CheckError, match=r"blocks\.0\.norm"):
        validate("out", "own_parts.py:build", extend=["own_parts_mlx.py"]).check()


@pytest.mark.parametrize("old, new, message", [
    ('["weight"].reshape(-1)}', '["weight"]}', r"weight: \[1, 1, 8\] instead of \[8\]"),
    ('{"weight": state["weight"].reshape(-1)}', "{}", "weight: missing"),
    ("import mlx.core as mx\n", "import mlx.core as mx\nimport numpy\n\nmx.tanh = mx.tanh\nused = numpy.pi\n", None),
    ("import mlx.core as mx\n", "import mlx.core as mx\n\nraise ValueError('no')\n", "_mlx.py:5: .*ValueError: no"),
])  # fmt: skip
def test_mistakes_are_named(tmp_path, monkeypatch, old, new, message):
    write(tmp_path, old, new)
    monkeypatch.chdir(tmp_path)
    if message is None:  # what the copied code does not use does no harm
        convert("own_parts.py:build", "out", extend=["own_parts_mlx.py"]).check()
        return
    with pytest.raises((FormatError, UsageError), match=message):
        convert("own_parts.py:build", "out", extend=["own_parts_mlx.py"])
    assert not (tmp_path / "out").exists()


def test_other_imports_are_refused(tmp_path, monkeypatch):
    write(tmp_path, "return limit * mx", "return limit * numpy.pi / numpy.pi * mx")
    path = tmp_path / "own_parts_mlx.py"
    path.write_text(path.read_text().replace("import mlx.core as mx\n", "import mlx.core as mx\nimport numpy\n"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="import numpy"):
        convert("own_parts.py:build", "out", extend=["own_parts_mlx.py"])


def test_what_cannot_be_registered():
    with pytest.raises(UsageError, match="has a lowering already"):
        register_op("aten.relu.default")(halved)
    with pytest.raises(UsageError, match="not an op name"):
        register_op("relu")
    with pytest.raises(UsageError, match=r"not a subclass of mlx\.nn\.Module"):
        register_module(nn.Linear)(dict)
    with pytest.raises(UsageError, match="no file"):
        extensions.load_file("missing.py")


def test_op_names_are_spelled_as_in_graphs():
    assert extensions.op_name("own::soft_clip") == "own.soft_clip.default"
    assert extensions.op_name("own::soft_clip.out") == "own.soft_clip.out"
    assert extensions.op_name("own.soft_clip.default") == "own.soft_clip.default"


def test_a_file_runs_once_for_each_version(tmp_path):
    path = tmp_path / "counted_runs.py"
    path.write_text("runs = []\n")
    module = extensions.load_file(path)
    assert extensions.load_file(path) is module
    path.write_text("runs = [1]\n")
    os.utime(path, ns=(0, 0))
    assert extensions.load_file(path).runs == [1] and module.runs == []


def test_user_errors_name_the_users_line(tmp_path):
    path = tmp_path / "raises.py"
    path.write_text("import mlx.core as mx\n\nmx.zeros([2]) + mx.zeros([3])\n")
    with pytest.raises(UsageError, match=r"raises\.py raised ValueError: ") as caught:
        extensions.load_file(path)
    assert caught.value.where == f"{path}:3"
    path.write_text("def :\n")
    with pytest.raises(UsageError, match="raised SyntaxError") as caught:
        extensions.load_file(path)
    assert caught.value.where == f"{path}:1" and "raises" not in sys.modules


def test_a_registration_can_be_removed():
    register_module("own.Missing")(Doubled)
    assert extensions.replacement_for("own.Missing").mlx_class is Doubled
    extensions.forget("own.Missing")
    assert extensions.replacement_for("own.Missing") is None
    extensions.forget("own.Missing")


def halved(x):
    return x / 2


class Doubled(mlx.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = mx.zeros([width, width])
        self.bias = mx.zeros([width])

    def __call__(self, input):
        return input @ self.weight.T + self.bias


class Badly(Doubled):
    def __call__(self, x):
        return x


class Own(nn.Linear):
    pass


def test_a_class_in_hand_and_its_tied_weight(tmp_path):
    register_module(Own, arguments=lambda module: {"width": module.in_features})(Doubled)
    module = nn.Sequential(nn.Linear(4, 4), Own(4, 4)).eval()
    assert analyze(module, torch.randn(2, 3, 4)).replaced == {"1": "Doubled"}
    result = convert(module, tmp_path / "out", example_inputs=torch.randn(2, 3, 4))
    result.check()
    assert "Doubled(width=width)" in (tmp_path / "out" / "model.py").read_text()
    register_module(Own, arguments=lambda module: {"width": module.in_features})(Badly)
    with pytest.raises(FormatError, match=r"1: Badly cannot be called like forward: .*'x'"):
        convert(module, tmp_path / "badly", example_inputs=torch.randn(2, 3, 4))
    register_module(Own, arguments=lambda module: {"width": module.in_features})(Doubled)
    module[1].weight = module[0].weight  # the MLX module may keep it in another layout
    with pytest.raises(FormatError, match=r"weight 1\.weight is read outside of it"):
        convert(module, tmp_path / "tied", example_inputs=torch.randn(2, 3, 4))
