"""Exported programs whose loading would run code are refused."""

import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.sources.exported_program import _check_size, open_program
from pytorch_to_mlx.codegen.sources.open import open_module
from pytorch_to_mlx.errors import FormatError, UnsafeError, UsageError


def rewrite(source, target, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename, old.read(info)))


@pytest.mark.parametrize("old, new", [
    (b'"torch.ops.aten.linear.default"', b'"os.system"'),
    (b'"use_pickle": false', b'"use_pickle": true'),
])  # fmt: skip
def test_a_program_that_would_run_code_is_refused(tmp_path, old, new):
    torch.export.save(torch.export.export(nn.Linear(4, 4), (torch.randn(2, 4),)), tmp_path / "good.pt2")
    changed = []

    def change(name, data):
        if name.endswith(".json") and old in data:
            changed.append(name)
            return data.replace(old, new)
        return data

    rewrite(tmp_path / "good.pt2", tmp_path / "bad.pt2", change)
    assert changed
    with pytest.raises(UnsafeError):
        open_module(str(tmp_path / "bad.pt2"))


def test_pickled_objects_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('run')",))

    torch.export.save(torch.export.export(nn.Linear(4, 4), (torch.randn(2, 4),)), tmp_path / "good.pt2")
    evil = pickle.dumps(Evil(), protocol=2)
    rewrite(tmp_path / "good.pt2", tmp_path / "bad.pt2", lambda name, data: evil if name.endswith(".pt") else data)
    with pytest.raises(UnsafeError):
        open_module(str(tmp_path / "bad.pt2"))


@pytest.mark.parametrize("text", ["s0", "Mul(Integer(2), Symbol('s77', positive=True))", "(s0 + 3)//4", "Eq(s1, 0)"])
def test_arithmetic_on_sizes_is_allowed(text):
    _check_size(text, Path("x.pt2"))


@pytest.mark.parametrize("text", [
    "__import__('os')", "Symbol('s0').__class__", "s0[0]", "exec('1')", "lambda: s0", "Symbol('os')", "(", "",
])  # fmt: skip
def test_sizes_that_are_code_are_refused(text):
    with pytest.raises(UnsafeError, match=re.escape(f"a size in it is the text {text!r}")):
        _check_size(text, Path("x.pt2"))


def test_a_good_program_opens_with_its_example_inputs(tmp_path):
    x = torch.randn(2, 4)
    module = nn.Linear(4, 3)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "good.pt2")
    source = open_program(tmp_path / "good.pt2")
    assert torch.equal(source.args[0], x) and source.kwargs == {} and source.class_name == "Linear"
    assert torch.equal(source.module(x), module(x))


def test_files_that_are_not_programs(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        open_program(tmp_path / "missing.pt2")
    (tmp_path / "text.pt2").write_text("hello")
    with pytest.raises(FormatError, match="not an exported program"):
        open_program(tmp_path / "text.pt2")
