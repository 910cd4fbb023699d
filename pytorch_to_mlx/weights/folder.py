"""Write a converted folder that is whole or not there, and read it through the checked reader."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import mlx.core as mx
import numpy as np

from ..checkpoint import open_checkpoint, read_json
from ..checkpoint.files import SourceFile, relative_inside
from ..checkpoint.safetensors import DTYPES
from ..errors import CheckError, FormatError, MachineError, UsageError
from ..units import count_text
from ..version import __version__
from .numbers import dtype_name
from .place import disk_errors, new_folder

MAX_SHARD_BYTES = 5 << 30
REPORTS = ("conversion.json", "report.json")  # of a checkpoint of a family; of a module
_HEADER_BYTES = 200  # of one tensor in a safetensors header, at most
_SAFETENSORS_DTYPES = {name: code for code, name in DTYPES.items()}
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
    report: tuple[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write config.json, model.safetensors (or shards with an index) and `files`; `dest` appears when all is verified.

    weights: read one at a time, so that a mapping that makes or reads them on demand keeps only one in memory.
    files: relative path -> bytes, or arrays for a .safetensors. source: the checkpoint, which `dest` must stay out of.
    report: name and content of a JSON file that is told the sha256 of all others, for `check_files`.
    Raises: UsageError if `dest` exists and `force` is not given; FormatError for file names that leave the folder or
    clash; MachineError if the disk is full or another run writes there; CheckError if it does not read back as written.
    """
    with new_folder(dest, force=force, source=source, needs=folder_bytes(weights, files)) as folder:
        fill_folder(
            folder,
            config=config,
            weights=weights,
            files=files,
            max_shard_bytes=max_shard_bytes,
            where=dest,
            report=report,
        )
    return Path(dest)


def folder_bytes(weights: Mapping[str, mx.array], files: Files | None = None) -> int:
    """Return the bytes that a converted folder will take on disk, or a little more."""
    total = 1 << 20
    for content in (weights, *(files or {}).values()):
        if isinstance(content, bytes):
            total += len(content)
        else:
            total += sum(size + _HEADER_BYTES for size in _sizes(content).values())
    return total


def _sizes(weights: Mapping[str, mx.array]) -> dict[str, int]:
    """Return the bytes of every array, without keeping any of the arrays in memory."""
    return {name: weights[name].nbytes for name in weights}


def fill_folder(
    folder: Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, mx.array],
    files: Files | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    where: str | Path | None = None,
    report: tuple[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write, flush to disk and verify everything inside an existing empty folder; `where` is its name in errors.

    Raises: FormatError, MachineError and CheckError as `write_folder`.
    """
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
        digests = {file: _write_arrays(folder / file, weights, names) for file, names in model.items()}
        digests |= {name: _write_arrays(folder / name, content, list(content)) for name, content in arrays.items()}
        if report:
            digests |= {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
            texts[report[0]] = to_json({**report[1], "files": dict(sorted(digests.items()))})
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
        for path in sorted(folder.rglob("*")):
            flush(path)
        flush(folder)
    verify(folder, texts, arrays, weights)


def split_shards(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    """Return the names of each shard, in order; a new shard begins where one would grow over `max_bytes`."""
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
    """Read everything back from disk, through the checked reader, and compare it bit for bit.

    texts: the plain files. arrays: the .safetensors files beside the model. weights: those of the model.
    Raises: CheckError naming the file and the tensor that differ.
    """
    for name, text in texts.items():
        if (folder / name).read_bytes() != text:
            raise _differs(folder / name, "its bytes differ")
    for path, content in ((folder, weights), *((folder / name, content) for name, content in arrays.items())):
        try:
            with open_checkpoint(path, as_stored=True) as checkpoint:
                _compare(path, checkpoint, content)
        except (FormatError, UsageError) as error:
            raise _differs(path, str(error)) from error


def _compare(path: Path, checkpoint: Mapping[str, mx.array], content: Mapping[str, mx.array]) -> None:
    if set(checkpoint) != set(content):
        raise _differs(path, "it holds other tensors")
    for name in content:
        expected, array = content[name], checkpoint[name]
        if array.dtype != expected.dtype or array.shape != expected.shape or not _same_bits(array, expected):
            raise _differs(path, f"tensor {name!r} differs")


def _same_bits(one: mx.array, other: mx.array) -> bool:
    return np.array_equal(np.array(_bytes(one), copy=False), np.array(_bytes(other), copy=False))


def _bytes(array: mx.array) -> mx.array:
    """Return the bytes of an array in row-major order. Shapes: any -> [nbytes] uint8."""
    return mx.contiguous(array).reshape(-1).view(mx.uint8) if array.size else mx.zeros((0,), mx.uint8)


def _differs(path: Path, what: str) -> CheckError:
    return CheckError(f"does not read back as it was written: {what}", where=path, fix="check the disk, then run again")


def read_folder(path: str | Path) -> tuple[dict[str, Any], dict[str, mx.array]]:
    """Return a converted folder's config.json and all of its weights, evaluated.

    Raises: FormatError, UnsafeError or MachineError as `open_checkpoint`.
    """
    with open_checkpoint(path) as checkpoint:
        return dict(checkpoint.config or {}), {name: checkpoint[name] for name in checkpoint}


def check_files(folder: str | Path, *, weights_only: bool = False) -> int:
    """Compare a converted folder's files with the sha256 that its report has of each; return how many it has.

    weights_only: look at the .safetensors only. README.md and report.md, which people edit, are not looked at.
    Raises: CheckError listing every file that is changed, missing or unreadable; FormatError for a malformed report.
    """
    folder = Path(folder)
    report = next((folder / name for name in REPORTS if (folder / name).is_file()), None)
    digests = read_json(report).get("files", {}) if report else {}
    if not isinstance(digests, dict):
        raise FormatError("'files' is not an object", where=report)
    problems = []
    for name, digest in digests.items():
        if PurePosixPath(name).suffix == ".md" or (weights_only and not name.endswith(".safetensors")):
            continue
        try:
            with SourceFile(relative_inside(folder, name, where=folder)) as file:
                if file.sha256() != digest:
                    problems.append(f"changed: {name}")
        except (FormatError, MachineError) as error:
            problems.append(f"{name}: {error.what}")
    if problems:
        raise CheckError(
            f"{count_text(len(problems), 'file is', 'files are')} not as the conversion wrote them",
            where=folder,
            fix="convert again, or copy the folder again",
            details=problems,
        )
    return len(digests)


def is_converted(path: str | Path) -> bool:
    """Return whether a folder was written by a converter to MLX."""
    path = Path(path)
    if not (path.is_dir() and (path / "config.json").is_file()):
        return False
    with suppress(FormatError), open_checkpoint(path) as checkpoint:
        return checkpoint.kind == "mlx"
    return False


def to_json(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON file.

    Raises: ValueError for NaN and Inf, which JSON does not have.
    """
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def flush(path: Path) -> None:
    """Write a file or folder through to the disk, and on Linux drop it from the cache so that reads come from there."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        if hasattr(os, "posix_fadvise") and path.is_file():
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _write_arrays(path: Path, content: Mapping[str, mx.array], names: Iterable[str]) -> str:
    """Write a .safetensors file, one array in memory at a time, and return its sha256.

    Source: https://github.com/huggingface/safetensors, "Format".
    """
    header: dict[str, Any] = {"__metadata__": METADATA}
    end = 0
    for name in names:
        array = content[name]
        start, end = end, end + array.nbytes
        dtype = _SAFETENSORS_DTYPES[dtype_name(array.dtype)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        head = len(text).to_bytes(8, "little") + text
        digest = hashlib.sha256(head)
        file.write(head)
        for name in names:
            data = np.array(_bytes(content[name]), copy=False).data
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _check_names(files: Files) -> None:
    """Refuse file names that are not plain relative paths, or that are the same but for upper and lower case.

    Raises: FormatError for such a name, for one that the model's own files have, and for arrays under another suffix.
    """
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
            raise FormatError(f"{name!r} holds arrays but is not a .safetensors file")
        seen.add(name.casefold())
