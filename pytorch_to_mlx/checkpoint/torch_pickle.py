"""Read PyTorch checkpoints (.pt .pth .bin .ckpt) without PyTorch: zip archives, and the legacy format before them."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError, UnsafeError
from . import pickle_machine
from .base import STORAGE, Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, not_a, quote, sniff
from .flatten import flatten
from .pickle_machine import Tensor, not_allowed
from .placeholder import Placeholder
from .training import find_weights
from .zip_file import read_member, read_members

if TYPE_CHECKING:
    import mlx.core as mx

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# A storage in the file: its size in bytes, and the function that reads it.
_Record = tuple[int, Callable[[], np.ndarray]]
_SAVE_AGAIN = "load it with PyTorch where you trust it, and save its state_dict() with torch.save"


def open_torch(path: Path, budget: Budget) -> Checkpoint:
    """Open a file written by torch.save, without running anything in it.

    Raises: UnsafeError for anything off the allow-list; FormatError for malformed files, TorchScript and .pt2.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        kind = sniff(file)
        if kind == "a zip archive":
            value, locate = _open_zip(file, budget)
        elif kind == "a legacy PyTorch file":
            value, locate = _open_legacy(file, budget)
        else:
            raise not_a("a PyTorch checkpoint", file)
        tensors, extra = flatten(value, where=path, budget=budget)
        if not tensors:
            raise _no_tensors(extra, path)
        part, notes = find_weights(value, budget)
        if notes:
            tensors, _ = flatten(part, where=path, budget=budget)
        reader = _StorageReader(file, locate)
        budget.spend(TENSOR * len(tensors))
        entries = {name: _entry(name, tensor, reader) for name, tensor in tensors.items()}
    return Checkpoint(str(path), "torch", entries, extra=extra, notes=notes, files=[file])


def _no_tensors(extra: dict[str, Any], path: Path) -> FormatError | UnsafeError:
    """Return the error for a file without tensors; what it holds in their place may be objects."""
    unread = next((value for value in extra.values() if isinstance(value, Placeholder)), None)
    if unread is None:
        return FormatError("the file holds no tensors", where=path)
    return not_allowed(unread, path)


class _StorageReader:
    """Read storages; keep the last one, because tensors that share a storage follow each other."""

    def __init__(self, file: SourceFile, locate: Callable[[str], _Record]) -> None:
        self.file, self.locate = file, locate
        self.last: tuple[str, np.ndarray] | None = None

    def check(self, name: str, tensor: Tensor) -> None:
        """Refuse a tensor whose storage is larger than its record in the file."""
        storage = tensor.storage
        record_size, _ = self.locate(storage.key)
        needed = storage.numel * (itemsize(storage.dtype) if storage.dtype else 1)
        if needed > record_size:
            raise FormatError(
                f"tensor {quote(name)}: its storage claims {needed} bytes, the file has {record_size}",
                where=self.file.path,
            )

    def read(self, key: str, *, shared: bool) -> np.ndarray:
        """Return the bytes of a storage, kept for the next tensor if it is shared. Shapes: -> [nbytes] uint8."""
        if self.last and self.last[0] == key:
            return self.last[1]
        _, load = self.locate(key)
        data = load()
        self.last = (key, data) if shared else None
        return data


def _entry(name: str, tensor: Tensor, reader: _StorageReader) -> Entry:
    """Return a tensor that can be read, or refuse one that does not lie inside its storage."""
    where = reader.file.path
    if tensor.dtype not in STORAGE:
        raise FormatError(
            f"tensor {quote(name)} has dtype {tensor.dtype}, which MLX does not have",
            where=where,
            fix="save it in another dtype, or without this tensor",
        )
    shape = check_shape(tensor.size, name=name, where=where)
    reader.check(name, tensor)
    size = itemsize(tensor.dtype)
    storage = tensor.storage
    n_stored = storage.numel if storage.dtype else storage.numel // size
    if storage.dtype not in (None, tensor.dtype):
        raise FormatError(f"tensor {quote(name)}: its dtype differs from its storage's", where=where)
    numel = math.prod(shape)
    last = tensor.offset + sum((dim - 1) * step for dim, step in zip(shape, tensor.stride, strict=True))
    inside = tensor.offset >= 0 and all(step >= 0 for step in tensor.stride) and last < n_stored
    if numel and (not inside or numel > n_stored):
        raise FormatError(
            f"tensor {quote(name)}: shape {list(shape)} with strides {list(tensor.stride)} at {quote(tensor.offset)}"
            f" does not fit its storage of {n_stored} elements",
            where=where,
            fix="if it comes from expand(), save its .contiguous() instead",
        )
    info = TensorInfo.of(name, tensor.dtype, shape)
    return Entry(info, lambda: _read(info, tensor, reader, shared=numel < n_stored))


def _read(info: TensorInfo, tensor: Tensor, reader: _StorageReader, *, shared: bool) -> "mx.array":
    """Read a tensor through its strides. Shapes: -> info.shape."""
    numpy_dtype = np.dtype(STORAGE[tensor.dtype])
    if not math.prod(info.shape):
        view = np.empty(info.shape, numpy_dtype)
    else:
        data = reader.read(tensor.storage.key, shared=shared)
        flat = data[: len(data) // numpy_dtype.itemsize * numpy_dtype.itemsize].view(numpy_dtype)
        strides = tuple(step * numpy_dtype.itemsize for step in tensor.stride)
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], info.shape, strides, writeable=False)
    return to_mlx(np.ascontiguousarray(view), tensor.dtype, info.shape, name=info.name, where=reader.file.path)


def _open_zip(file: SourceFile, budget: Budget) -> tuple[Any, Callable[[str], _Record]]:
    """Return the pickled value, and the function that finds a storage by its key."""
    members = read_members(file, budget)
    where = file.path
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    prefix = pickles[0].removesuffix("data.pkl") if pickles else ""
    if any(name.endswith("constants.pkl") or "/code/" in name for name in members):
        raise FormatError(
            "this is a TorchScript archive, which holds code",
            where=where,
            fix="export its state_dict: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
        )
    if any(name.endswith(("archive_format", ".pt2")) or "/models/" in name for name in members):
        raise FormatError("this is a .pt2 exported program", where=where, fix="save the module's state_dict() instead")
    if len(pickles) != 1 or prefix.count("/") != 1:
        raise FormatError("this zip archive is not a PyTorch checkpoint (it has no data.pkl)", where=where)
    byte_order = members.get(f"{prefix}byteorder")
    if byte_order and (byte_order.size > 10 or read_member(file, byte_order).tobytes() != b"little"):
        raise FormatError("saved on a big-endian machine", where=where, fix=_SAVE_AGAIN)
    member = members[pickles[0]]
    if member.size > pickle_machine.MAX_BYTES:
        raise FormatError(f"a pickle of {member.size} bytes", where=where, fix=_SAVE_AGAIN)
    data = read_member(file, member).tobytes()
    value, end = pickle_machine.load(data, where=where, budget=budget)
    if end != len(data):
        raise FormatError(f"{len(data) - end} bytes after the pickle's end", where=where)

    version = members.get(f"{prefix}version")
    if version and (version.size > 10 or not re.fullmatch(rb"([1-9]|10)\s*", read_member(file, version).tobytes())):
        raise FormatError("the archive is of an unknown version", where=where, fix=_SAVE_AGAIN)

    def locate(key: str) -> _Record:
        member = members.get(f"{prefix}data/{key}")
        if member is None:
            raise FormatError(f"the storage {quote(key)} is missing", where=where)
        if not (key.isascii() and key.isdigit()):
            raise FormatError(f"the storage {quote(key)} has no number for a name", where=where)
        if member.deflated:
            raise FormatError(f"the storage {quote(key)} is compressed", where=where, fix=_SAVE_AGAIN)
        return member.size, lambda: _aligned(read_member(file, member))

    return value, locate


def _aligned(data: np.ndarray) -> np.ndarray:
    """Return the array in memory of its own, which is aligned for every dtype."""
    return data if data.flags.owndata else data.copy()


def _open_legacy(file: SourceFile, budget: Budget) -> tuple[Any, Callable[[str], _Record]]:
    """Return the pickled value, and the function that finds a storage by its key.

    The file is five pickles (magic, version, system, value, storage keys), then for each key an int64 count and the
    elements.
    """
    where = file.path
    data = file.read(0, min(file.size, pickle_machine.MAX_BYTES))
    offset, values = 0, []
    for _ in range(5):
        value, offset = pickle_machine.load(data, where=where, start=offset, budget=budget)
        values.append(value)
    magic, version, system, value, keys = values
    if magic != LEGACY_MAGIC or version != 1001 or not isinstance(keys, list) or not isinstance(system, dict):
        raise FormatError("this legacy PyTorch file has an unknown version", where=where, fix=_SAVE_AGAIN)
    if system.get("little_endian") is not True:
        raise FormatError("saved on a big-endian machine", where=where, fix=_SAVE_AGAIN)
    tensors, _ = flatten(value, where=where, budget=budget)
    sizes = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    budget.spend(10 * len(keys))
    spans: dict[str, tuple[int, int]] = {}
    for key in keys:
        if type(key) is not str or key in spans or key not in sizes:
            raise FormatError(f"the storage {quote(key)} is listed twice or never used", where=where)
        count = int.from_bytes(file.read(offset, 8), "little", signed=True)
        storage = sizes[key]
        if storage.dtype is None or count != storage.numel:
            raise FormatError(f"the storage {quote(key)} has {count} elements, not {storage.numel}", where=where)
        if storage.dtype not in STORAGE:
            raise FormatError(f"a storage of {storage.dtype}, which MLX does not have", where=where, fix=_SAVE_AGAIN)
        spans[key] = (offset + 8, count * itemsize(storage.dtype))
        offset += 8 + spans[key][1]
    if offset != file.size:
        raise FormatError(f"the file is {file.size} bytes long, {offset} are expected", where=where)

    def locate(key: str) -> _Record:
        if key not in spans:
            raise FormatError(f"the storage {quote(key)} is missing", where=where)
        start, length = spans[key]
        return length, lambda: file.read_array(start, length)

    return value, locate
