"""Read CTranslate2's model.bin: names, arrays and aliases; int8 and int16 weights are divided by their scales."""

import math
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FormatError
from .base import STORAGE, Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, quote

if TYPE_CHECKING:
    import mlx.core as mx

VERSIONS = range(4, 7)
DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
_SPEC = re.compile(rb"[A-Za-z0-9]{1,60}\x00")


def is_ctranslate2(file: SourceFile) -> bool:
    """Return whether a .bin file starts as CTranslate2 writes it: with a version and the name of a specification."""
    head = file.read(0, min(file.size, 70))
    length = int.from_bytes(head[4:6], "little")
    return len(head) > 6 and head[0] < 20 and head[1:4] == b"\0\0\0" and bool(_SPEC.fullmatch(head[6 : 6 + length]))


def open_ctranslate2(path: Path, budget: Budget) -> Checkpoint:
    """Open a CTranslate2 model.bin; names get "." for "/", and scalars (heads, flags) are in `extra`.

    Raises: FormatError for another version, sizes that do not fit, bytes after the end, and 4-bit weights.
    Source: CTranslate2 4, python/ctranslate2/specs/model_spec.py (_serialize) and src/models/model.cc.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        return _Reader(file, budget).read()


class _Reader:
    """Read the file from front to back; each method reads one thing and moves `offset` behind it."""

    def __init__(self, file: SourceFile, budget: Budget) -> None:
        self.file, self.budget, self.offset = file, budget, 0
        self.variables: dict[str, tuple[str, tuple[int, ...], int]] = {}  # name -> dtype, shape, offset

    def number(self, form: str) -> int:
        data = self.file.read(self.offset, struct.calcsize(form))
        self.offset += len(data)
        return struct.unpack(form, data)[0]

    def string(self) -> str:
        length = self.number("<H")
        data = self.file.read(self.offset, length)
        self.offset += length
        if not data.endswith(b"\0") or data.count(b"\0") != 1:
            raise self.error(f"the name at byte {self.offset - length} has no end")
        try:
            return data[:-1].decode("utf-8").replace("/", ".")
        except UnicodeDecodeError:
            raise self.error(f"the name at byte {self.offset - length} is not UTF-8") from None

    def error(self, what: str) -> FormatError:
        return FormatError(what, where=self.file.path)

    def read(self) -> Checkpoint:
        version = self.number("<I")
        if version not in VERSIONS:
            raise self.error(f"CTranslate2 format {version}; {VERSIONS[0]} to {VERSIONS[-1]} are read")
        extra: dict = {"spec": self.string(), "revision": self.number("<I")}
        for _ in range(self.number("<I")):
            self.budget.spend(3 * TENSOR)
            self.variable()
        aliases = self.aliases()
        if self.offset != self.file.size:
            raise self.error(f"{self.file.size - self.offset} bytes after the end")
        entries = {}
        for name, (dtype, shape, offset) in self.variables.items():
            if name.endswith("_scale") and name.removesuffix("_scale") in self.variables:
                continue  # belongs to a quantized weight
            if shape:
                entries[name] = self.entry(name)
            else:
                extra[name] = self.array(dtype, shape, offset).item()
        for alias, name in aliases.items():
            if name in entries:
                entries[alias] = Entry(replace(entries[name].info, name=alias), entries[name].read)
            elif name in extra:
                extra[alias] = extra[name]
        return Checkpoint(str(self.file.path), "ctranslate2", entries, extra=extra, files=[self.file])

    def variable(self) -> None:
        name = self.string()
        shape = check_shape([self.number("<I") for _ in range(self.number("<B"))], name=name, where=self.file.path)
        kind, length = self.number("<B"), self.number("<I")
        if name in self.variables or not name:
            raise self.error(f"the variable {quote(name)} occurs twice or has no name")
        if kind >= len(DTYPES):
            raise self.error(f"the variable {quote(name)} has the unknown dtype {kind}")
        needed = math.prod(shape) * itemsize(DTYPES[kind])
        if length != needed or self.offset + length > self.file.size:
            raise self.error(f"the variable {quote(name)} needs {needed} bytes, but has {length} or is cut off")
        self.variables[name] = (DTYPES[kind], shape, self.offset)
        self.offset += length

    def aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for _ in range(self.number("<I")):
            self.budget.spend(2 * TENSOR)
            alias, name = self.string(), self.string()
            if name not in self.variables or alias in self.variables or alias in aliases:
                raise self.error(f"the alias {quote(alias)} occurs twice or stands for no variable")
            aliases[alias] = name
        return aliases

    def array(self, dtype: str, shape: tuple[int, ...], offset: int) -> np.ndarray:
        """Return a variable as it is stored. Shapes: -> shape."""
        length = math.prod(shape) * itemsize(dtype)
        return self.file.read_array(offset, length).view(STORAGE[dtype]).reshape(shape)

    def entry(self, name: str) -> Entry:
        """Return a variable that can be read, divided by its scales if it has some."""
        dtype, shape, offset = self.variables[name]
        scale = self.variables.get(f"{name}_scale")
        if scale is None:
            info = TensorInfo.of(name, dtype, shape)
            return Entry(info, lambda: self.to_mlx(self.array(dtype, shape, offset), dtype, info))
        if dtype not in ("int8", "int16") or scale[0] != "float32" or scale[1] not in {(), (1,), shape[:1]}:
            raise self.error(
                f"the variable {quote(name)}, {dtype} {list(shape)}, has the scale {scale[0]} {list(scale[1])}"
            )
        info = TensorInfo.of(name, "float32", shape, dtype)

        def dequantize() -> np.ndarray:
            scales = self.array(*scale).reshape(-1, *[1] * (len(shape) - 1))
            return self.array(dtype, shape, offset).astype(np.float32) / scales

        return Entry(info, lambda: self.to_mlx(dequantize(), "float32", info))

    def to_mlx(self, array: np.ndarray, dtype: str, info: TensorInfo) -> "mx.array":
        return to_mlx(array, dtype, info.shape, name=info.name, where=self.file.path)
