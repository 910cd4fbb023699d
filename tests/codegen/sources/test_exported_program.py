"""Exported programs whose loading would run code are refused."""

import zipfile

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.sources.open import open_module
from pytorch_to_mlx.errors import UnsafeError


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

    import pickle

    torch.export.save(torch.export.export(nn.Linear(4, 4), (torch.randn(2, 4),)), tmp_path / "good.pt2")
    evil = pickle.dumps(Evil(), protocol=2)
    rewrite(tmp_path / "good.pt2", tmp_path / "bad.pt2", lambda name, data: evil if name.endswith(".pt") else data)
    with pytest.raises(UnsafeError):
        open_module(str(tmp_path / "bad.pt2"))
