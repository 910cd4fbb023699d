"""Open a checkpoint: a file by its kind, or a folder by what lies in it."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import FormatError, MachineError, UnsafeError, UsageError
from .base import Checkpoint
from .budget import Budget
from .ctranslate2 import is_ctranslate2, open_ctranslate2
from .files import SourceFile, quote, require_memory, sniff
from .gguf import open_gguf
from .json_file import read_config
from .marian import is_marian, open_marian
from .npz import open_npy, open_npz
from .onnx import open_onnx
from .packed_rows import widen
from .safetensors import open_safetensors
from .shards import open_shards
from .torch_pickle import open_torch
from .training import strip_wrappers


def _open_bin(path: Path, budget: Budget) -> Checkpoint:
    with SourceFile(path) as file:
        reader = open_ctranslate2 if is_ctranslate2(file) else open_marian if is_marian(file) else open_torch
    return reader(path, budget)


READERS: dict[str, Callable[[Path, Budget], Checkpoint]] = {
    ".safetensors": open_safetensors,
    ".pth": open_torch,
    ".pt": open_torch,
    ".bin": _open_bin,
    ".ckpt": open_torch,
    ".onnx": open_onnx,
    ".npz": open_npz,
    ".npy": open_npy,
    ".gguf": open_gguf,
}
# In a folder, the first that exists wins: the same weights are often there twice.
_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".onnx", ".npz", ".gguf")


def open_checkpoint(path: str | Path, *, max_bytes: int | None = None, as_stored: bool = False) -> Checkpoint:
    """Open a checkpoint file or folder; headers are checked now, tensors are read when asked for.

    A folder may hold one checkpoint file, shards with their index, or a converted MLX model; its config.json is read
    as well. Python files in it are never imported. `max_bytes` bounds what all tensors together may take in memory
    (default: what is available when the first tensor is read). as_stored: leave what a converted folder packs by rows
    as it is.
    Raises: FormatError, UnsafeError, MachineError, UsageError; the reader's docstring says which.
    """
    path = Path(path)
    try:
        is_folder, is_there = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError):
        raise UsageError(f"{quote(path)} is no usable path") from None
    if not is_there:
        raise UsageError("no such file or folder", where=path, fix="give a path, or a hub id such as org/name")
    budget = Budget(path)
    checkpoint = _open_folder(path, as_stored, budget) if is_folder else _open_file(path, budget)
    checkpoint.max_bytes = max_bytes
    if checkpoint.kind in ("torch", "safetensors"):
        strip_wrappers(checkpoint)
    if max_bytes is not None:
        try:
            require_memory(checkpoint.nbytes(), where=path, limit=max_bytes)
        except MachineError:
            checkpoint.close()
            raise
    return checkpoint


def _open_file(path: Path, budget: Budget) -> Checkpoint:
    if path.name.endswith(".index.json"):
        return _open_index(path, budget)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        with SourceFile(path) as file:
            found = sniff(file)
        if path.suffix == ".py":
            fix = f"name the function that builds the module: {path.name}:build"
            raise FormatError("this is Python source, not a checkpoint", where=path, fix=fix)
        raise FormatError(f"this is {found}; checkpoints are {' '.join(READERS)}", where=path)
    return reader(path, budget)


def _open_index(path: Path, budget: Budget) -> Checkpoint:
    suffix = Path(path.name.removesuffix(".index.json")).suffix
    if suffix not in (".safetensors", ".bin"):
        raise FormatError("is the index of no known kind of shards", where=path)
    return open_shards(path, suffix, READERS[suffix], budget)


def _open_folder(path: Path, as_stored: bool, budget: Budget) -> Checkpoint:
    config = read_config(path) if (path / "config.json").exists() else None
    if config is not None and "model_file" in config:
        raise UnsafeError(
            f"config.json asks to run the Python file {quote(config['model_file'])} (model_file); nothing was run",
            where=path,
            fix="remove the key if the weights alone are wanted",
        )
    checkpoint = _open_file(_pick(path), budget)
    checkpoint.source, checkpoint.folder, checkpoint.config = str(path), path, config
    if not as_stored:
        try:
            widen(checkpoint)
        except FormatError:
            checkpoint.close()
            raise
    return checkpoint


def _pick(folder: Path) -> Path:
    for name in _NAMES:
        if (folder / name).exists():
            return folder / name
    for suffix in _SUFFIXES:
        found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
        if len(found) > 1:
            raise FormatError(
                f"{len(found)} {suffix} files and no index",
                where=folder,
                fix="name one",
                details=[quote(file.name) for file in found],
            )
        if found:
            return found[0]
    raise FormatError(f"no checkpoint in this folder; checkpoints are {' '.join(READERS)}", where=folder)
