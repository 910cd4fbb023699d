"""Opening runs no code, whatever lies in the file or beside it (faults 9, 17 and 24)."""

import ast
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import torch
from checkpoint.hostile import Call, assert_file_refused, assert_refused, dumps, good_zip, torch_zip
from checkpoint.test_pickle_machine import BOMBS
from safetensors.torch import save_file

import pytorch_to_mlx.checkpoint as room
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError, UnsafeError


def test_room_imports_nothing_that_runs_code():
    """Fault 9: the room imports neither torch nor any module that can unpickle or run text."""
    banned = {"torch", "pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "runpy", "importlib"}
    for path in Path(room.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
                if node.module == "importlib":
                    assert [alias.name for alias in node.names] == ["metadata"]
                    continue
            assert not {name.split(".")[0] for name in names} & banned, f"{path.name}: {names}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__", "compile"}, path.name
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), path.name


def test_unknown_extension(tmp_path):
    """Fault 17."""
    (tmp_path / "x.exe").write_bytes(b"MZ")
    assert_file_refused(tmp_path / "x.exe", FormatError, "checkpoints are .safetensors")


def test_code_in_a_folder(tmp_path, canary):
    """Fault 24."""
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w')")
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_x.X"}, "custom_pipelines": {}}')
    with open_checkpoint(tmp_path) as ckpt:  # read, but nothing of it imported
        assert ckpt["w"].shape == (1,) and "modeling_x" not in sys.modules
    (tmp_path / "config.json").write_text('{"model_file": "modeling_x.py"}')
    assert_refused(lambda: open_checkpoint(tmp_path), UnsafeError, tmp_path, "modeling_x.py", "nothing was run")


SCRIPT = """
import sys
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import PortError
for path in sys.argv[1:]:
    try:
        with open_checkpoint(path) as ckpt:
            arrays = {name: ckpt[name] for name in ckpt}
        print(0, path)
    except PortError as error:
        print(error.exit_code, path)
"""


def test_no_signal_and_bounded_memory_in_a_child(tmp_path):
    """The files that crash or hang `mx.load` (31 33 34 36 25), a payload and a bomb, in one process of 1.5 GB."""

    def safetensors(name: str, **tensor) -> Path:
        header = json.dumps({"a": tensor}).encode()
        (tmp_path / name).write_bytes(struct.pack("<Q", len(header)) + header)
        return tmp_path / name

    paths = [
        safetensors("31.safetensors", dtype="F32", shape=[65536] * 4, data_offsets=[0, 0]),
        safetensors("34.safetensors", dtype="F32", shape=[2], data_offsets=[2**64 - 8, 2**64]),
        safetensors("36.safetensors", dtype="F32", shape=[1] * 100_000, data_offsets=[0, 4]),
        torch_zip(tmp_path / "01.pth", dumps({"w": Call(os.system, f"touch {tmp_path / 'canary'}")})),
        torch_zip(tmp_path / "15.pth", BOMBS["many_opcodes"]),
        good_zip(tmp_path / "00.pth"),
    ]
    os.mkfifo(tmp_path / "25.npy")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))\n"
    command = [sys.executable, "-c", limited + SCRIPT, *map(str, paths), str(tmp_path / "25.npy")]
    child = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    codes = {Path(line.split()[1]).stem: int(line.split()[0]) for line in child.stdout.splitlines()}
    assert codes == {"31": 4, "34": 4, "36": 4, "01": 3, "15": 4, "00": 0, "25": 4}
    assert not (tmp_path / "canary").exists()
