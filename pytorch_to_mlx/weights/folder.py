"""Write a converted folder so that it is whole or not there, and read it back through the checked reader."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import mlx.core as mx
import numpy as np

from ..checkpoint import open_checkpoint, read_config
from ..checkpoint.safetensors import DTYPES
from ..errors import CheckError, FormatError, UsageError
from ..version import __version__
from .place import disk_errors, new_folder

MAX_SHARD_BYTES = 5 << 30
STORED = {name: kind for kind, name in DTYPES.items()}
METADATA = {"format": "mlx", "converted_by": f"pytorch-to-mlx {__version__}"}
Files = Mapping[str, bytes | Mapping[str, mx.array]]


def write_folder(
    dest: str | Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, mx.array],
    files: Files | None = None,
    force: bool = False,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    source: str | Path | None = None,
) -> Path:
    """Write config.json, model.safetensors (or shards with an index) and `files`; `dest` appears when all is verified.

    files: relative path -> bytes, or arrays for a .safetensors. source: the checkpoint, which `dest` must stay out of.
    Of weights that are made or read when asked for, one at a time is in memory.
    Raises: UsageError if `dest` exists and `force` is not given; MachineError if the disk is full or another run
    writes there; CheckError if what was written does not read back.
    """
    with new_folder(dest, force=force, source=source, needs=folder_bytes(weights, files)) as folder:
        fill_folder(folder, config=config, weights=weights, files=files, max_shard_bytes=max_shard_bytes, where=dest)
    return Path(dest)


def folder_bytes(weights: Mapping[str, mx.array], files: Files | None = None) -> int:
    """What a converted folder will take on disk, a little over."""
    contents = (files or {}).values()
    other = sum(len(c) if isinstance(c, bytes) else sum(a.nbytes + 200 for a in c.values()) for c in contents)
    return sum(size + 200 for size in _sizes(weights).values()) + other + (1 << 20)


def _sizes(weights: Mapping[str, mx.array]) -> dict[str, int]:
    """Bytes of every array. Nothing keeps the arrays: what makes them when asked may make them again."""
    return {name: weights[name].nbytes for name in weights}


def fill_folder(
    folder: Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, mx.array],
    files: Files | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    where: str | Path | None = None,
) -> None:
    """Write, flush to disk and verify everything inside an existing empty folder; `where` is its name in errors."""
    _check_names(files or {})
    sizes = _sizes(weights)
    shards = split_shards(sizes, max_shard_bytes)
    texts: dict[str, bytes] = {"config.json": to_json(config)}
    model = {_shard_name(n, len(shards)): shard for n, shard in enumerate(shards, start=1)}
    if len(shards) > 1:
        total = sum(sizes.values())
        shard_of = {name: file for file, shard in model.items() for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": {name: shard_of[name] for name in sorted(shard_of)}}
        texts["model.safetensors.index.json"] = to_json(index)
    arrays: dict[str, Mapping[str, mx.array]] = {}
    for name, content in (files or {}).items():
        if isinstance(content, bytes):
            texts[name] = content
        else:
            arrays[name] = content
    with disk_errors(Path(where or folder), folder_bytes(weights, files)):
        for file, names in model.items():
            _write_arrays(folder / file, weights, names)
        for name, content in arrays.items():
            _write_arrays(folder / name, content, list(content))
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
        for path in sorted(folder.rglob("*")):
            flush(path)
        flush(folder)
    verify(folder, texts, arrays, weights)


def split_shards(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    """Names in their order, a new shard before the one that would make it larger than `max_bytes`."""
    shards: list[list[str]] = [[]]
    total = 0
    for name, size in sizes.items():
        if shards[-1] and total + size > max_bytes:
            shards.append([])
            total = 0
        shards[-1].append(name)
        total += size
    return shards


def verify(
    folder: Path,
    texts: Mapping[str, bytes],
    arrays: Mapping[str, Mapping[str, mx.array]],
    weights: Mapping[str, mx.array],
) -> None:
    """Read everything back from disk, through the checked reader, and compare it bit for bit with what it should be.

    arrays: the .safetensors files beside the model. weights: the model's, in one file or in shards with their index.
    Raises: CheckError naming the file and the tensor that differ.
    """
    for name, text in texts.items():
        if (folder / name).read_bytes() != text:
            raise _differs(folder / name, "its bytes differ")
    for path, content in ((folder, weights), *((folder / name, content) for name, content in arrays.items())):
        try:
            with open_checkpoint(path) as written:
                _compare(path, written, content)
        except (FormatError, UsageError) as error:
            raise _differs(path, str(error)) from error


def _compare(path: Path, written: Mapping[str, mx.array], content: Mapping[str, mx.array]) -> None:
    if set(written) != set(content):
        raise _differs(path, "other tensors are in it")
    for name in content:
        array, back = content[name], written[name]
        if back.dtype != array.dtype or back.shape != array.shape or not _same_bits(back, array):
            raise _differs(path, f"tensor {name!r} reads back differently")


def _same_bits(one: mx.array, other: mx.array) -> bool:
    return np.array_equal(np.array(_raw(one), copy=False), np.array(_raw(other), copy=False))


def _raw(array: mx.array) -> mx.array:
    return mx.contiguous(array).reshape(-1).view(mx.uint8) if array.size else mx.zeros((0,), mx.uint8)


def _differs(path: Path, what: str) -> CheckError:
    return CheckError(f"does not read back as it was written: {what}", where=path, fix="check the disk, then run again")


def read_folder(path: str | Path) -> tuple[dict[str, Any], dict[str, mx.array]]:
    """A converted folder's config.json and all of its weights, evaluated."""
    config = read_config(path)
    with open_checkpoint(path) as checkpoint:
        return config, {name: checkpoint[name] for name in checkpoint}


def is_converted(path: str | Path) -> bool:
    """True for a folder that a converter to MLX has written."""
    path = Path(path)
    if not (path.is_dir() and (path / "config.json").is_file()):
        return False
    with suppress(FormatError), open_checkpoint(path) as checkpoint:
        return checkpoint.kind == "mlx"
    return False


def to_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def flush(path: Path) -> None:
    """Make a file or folder safe against a power cut; on Linux the next read then comes from the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        if hasattr(os, "posix_fadvise") and path.is_file():
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _write_arrays(path: Path, content: Mapping[str, mx.array], names: Iterable[str]) -> None:
    """Write a .safetensors from one array at a time. Source: https://github.com/huggingface/safetensors, "Format"."""
    header: dict[str, Any] = {"__metadata__": METADATA}
    end = 0
    for name in names:
        array = content[name]
        start, end = end, end + array.nbytes
        kind = STORED[str(array.dtype).rpartition(".")[2]]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(np.array(_raw(content[name]), copy=False).data)


def _check_names(files: Files) -> None:
    """Our own files' names must be plain relative paths, different also where upper and lower case are the same."""
    seen = {"config.json"}
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or "\0" in name:
            raise FormatError(f"{name!r} is not a relative path inside the folder")
        if name.casefold() in seen or (
            path.parent == PurePosixPath(".") and name.startswith("model") and ".safetensors" in name
        ):
            raise FormatError(f"two files of the folder would be called {name!r}")
        if not isinstance(content, bytes) and path.suffix != ".safetensors":
            raise FormatError(f"{name!r} holds arrays but is no .safetensors")
        seen.add(name.casefold())
