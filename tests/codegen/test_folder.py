"""codegen/folder.py: a generated folder is told from others, and nothing that it names is run."""

import importlib.util
import json
import py_compile
import shutil
from pathlib import Path

import pytest
from command import run

from pytorch_to_mlx import validate
from pytorch_to_mlx.codegen.folder import KIND, is_generated
from pytorch_to_mlx.errors import UsageError

EVIL = "from pathlib import Path\n\nPath({!r}).touch()\n\n\ndef build():\n    raise SystemExit\n"


def test_both_files_and_the_mark(tmp_path):
    assert not is_generated(tmp_path / "missing") and not is_generated(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"kind": KIND}))
    assert not is_generated(tmp_path)
    (tmp_path / "model.py").write_text("")
    assert is_generated(tmp_path) and is_generated(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert not is_generated(tmp_path)


def hostile_folder(tmp_path, source, extend=()):
    """A generated folder whose every Python file leaves the mark `ran`."""
    folder = tmp_path / "mm"
    folder.mkdir()
    for name in ("model.py", "evil.py"):
        (folder / name).write_text(EVIL.format(str(tmp_path / "ran")))
    config = {"kind": KIND, "model_type": "generated", "source": source, "extend": list(extend)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("source", ["mm/evil.py:build", "os:abort", "evil.pt2", "someone/model", 5, ""])
def test_what_a_folder_names_is_not_run(tmp_path, monkeypatch, source):
    folder = hostile_folder(tmp_path, source, extend=["mm/evil.py"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"made from .* nothing was run"):
        validate(folder)
    assert not (tmp_path / "ran").exists()


def test_the_command_says_from_what_a_folder_was_made(tmp_path):
    hostile_folder(tmp_path, "mm/evil.py:build; touch ran", extend=["mm/evil.py"])
    done = run("validate", "mm", cwd=tmp_path)
    line = done.stderr.decode().strip()
    assert done.returncode == 2 and not (tmp_path / "ran").exists()
    assert line.endswith("validate mm --source 'mm/evil.py:build; touch ran' --extend mm/evil.py"), line


def test_its_model_is_run_only_if_the_users_factory_gives_it(tmp_path):
    build = "    torch.manual_seed(0)\n    return torch.nn.Linear(3, 2), torch.zeros(4, 3)\n"
    factory = f"import torch\n\n\ndef build():\n{build}"
    (tmp_path / "mine.py").write_text(factory)
    assert run("convert", "mine.py:build", "--mlx-path", "out", cwd=tmp_path).returncode == 0
    done = run("validate", "out", "--source", "mine.py:build", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hostile = hostile_folder(tmp_path, "mine.py:build")
    shutil.copy(tmp_path / "out" / "model.safetensors", hostile)
    done = run("validate", "mine.py:build", "--mlx-path", "mm", cwd=tmp_path)
    assert done.returncode == 2 and b"it was not run" in done.stderr and not (tmp_path / "ran").exists()
    run("validate", "mine.py:build", "--mlx-path", "mm", "--trust-folder", cwd=tmp_path)
    assert (tmp_path / "ran").exists()


def test_bytecode_beside_a_model_is_not_looked_at(tmp_path):
    from pytorch_to_mlx.codegen.proof.outputs import import_source

    path = tmp_path / "model.py"
    path.write_text("value = 2\n")
    cached = Path(importlib.util.cache_from_source(str(path)))
    py_compile.compile(path, cfile=cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    path.write_text("value = 1\n")
    assert import_source(path).value == 1
