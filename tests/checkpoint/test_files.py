"""Files that are not what they seem, not regular, or that change while open (faults 17, 25, 26, 89 and 114)."""

import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from checkpoint.hostile import assert_file_refused, assert_refused, good_zip
from safetensors.torch import save_file

import pytorch_to_mlx.checkpoint as room
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError, MachineError

MAGIC = {
    "html": (b"<!DOCTYPE html><html>404</html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "gunzip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "7z archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "pickle": (pickle.dumps({"a": 1}), "bare pickle"),
    "empty": (b"", "empty file"),
    "text": (b"hello", "not a"),
    "json": (b'{"error": "not found"}', "JSON"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx", ".npz", ".bin", ".npy"])
@pytest.mark.parametrize("kind", MAGIC)
def test_wrong_magic(tmp_path, kind, suffix):
    """Fault 17."""
    data, word = MAGIC[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    assert_file_refused(path, FormatError, *([word] if (kind, suffix) != ("text", ".onnx") else []))


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".npz"])
def test_wrong_extension(tmp_path, suffix):
    """Fault 17."""
    assert_file_refused(good_zip(tmp_path / f"x{suffix}"), FormatError)


def test_pipes_and_devices(tmp_path):
    """Fault 25."""
    for suffix in (".pth", ".safetensors", ".onnx", ".npy", ".bin"):
        os.mkfifo(tmp_path / f"x{suffix}")
        assert_file_refused(tmp_path / f"x{suffix}", FormatError, "a pipe", limit_s=1.0)
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    assert_file_refused(tmp_path / "zero.pth", FormatError, "a character device", limit_s=1.0)
    (tmp_path / "folder.pth").mkdir()
    assert_file_refused(tmp_path / "folder.pth", FormatError, "no checkpoint in this folder")
    os.mkfifo(tmp_path / "config.json")
    assert_refused(lambda: room.read_config(tmp_path), FormatError, "a pipe", limit_s=1.0)


def test_socket(tmp_path, monkeypatch):
    """Fault 25."""
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.pth")
        assert_file_refused(Path("x.pth"), FormatError, "a socket")


def test_file_replaced_after_the_check(tmp_path):
    """Fault 26."""
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        save_file({"w": torch.zeros(4)}, tmp_path / "new")
        os.replace(tmp_path / "new", path)
        assert ckpt["w"].tolist() == [1, 1, 1, 1]  # the descriptor that was checked


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_file_overwritten_in_place(tmp_path, suffix):
    """Fault 26."""
    path = tmp_path / f"x{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        time.sleep(0.02)
        data = path.read_bytes()
        with path.open("r+b") as file:
            file.write(data)
        assert_refused(lambda: ckpt["w"], FormatError, path, "changed while it was read")


def test_file_truncated_while_open(tmp_path):
    """Fault 89."""
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        os.truncate(path, path.stat().st_size - 4)
        assert_refused(lambda: ckpt["w"], FormatError, path, "changed while it was read")


def test_memory_is_refused_before_allocation(tmp_path):
    """Fault 114."""
    save_file({"a": torch.zeros(256)}, tmp_path / "x.safetensors")
    error = assert_refused(
        lambda: open_checkpoint(tmp_path / "x.safetensors", max_bytes=1023), MachineError, "needs", "has"
    )
    assert error.exit_code == 6
