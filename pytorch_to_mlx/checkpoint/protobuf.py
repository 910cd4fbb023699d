"""Read protobuf's wire format strictly, as much of it as ONNX needs, through one descriptor and without copies.

The `onnx` package would bring protobuf and ml_dtypes, load the whole file, and let the last of duplicate fields win,
where two readers could differ; here duplicates are refused.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import FormatError
from .base import MAX_DIMS
from .budget import Budget
from .files import SourceFile

Span = tuple[int, int]  # the offsets at which a message or its bytes begin and end
_WINDOW = 1 << 18
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"int": _VARINT, "float": _FIXED32, "text": _BYTES, "span": _BYTES, "texts": _BYTES, "spans": _BYTES}


class Wire:
    """Read the messages of a file, each by its span."""

    def __init__(self, file: SourceFile, budget: Budget) -> None:
        self.file, self.budget = file, budget
        self.window, self.window_start = b"", 0

    def error(self, what: str) -> FormatError:
        """Return the error that names this file."""
        return FormatError(f"malformed protobuf: {what}", where=self.file.path)

    def _byte(self, offset: int) -> int:
        index = offset - self.window_start
        if not 0 <= index < len(self.window):
            self.window = self.file.read(offset, min(_WINDOW, self.file.size - offset))
            self.window_start, index = offset, 0
        return self.window[index]

    def bytes(self, span: Span) -> bytes:
        """Return the bytes of a span, from the window if it holds them."""
        begin, end = span[0] - self.window_start, span[1] - self.window_start
        if 0 <= begin <= end <= len(self.window):
            return self.window[begin:end]
        return self.file.read(span[0], span[1] - span[0])

    def varint(self, offset: int, end: int) -> tuple[int, int]:
        """Return the varint at `offset`, and the offset after it.

        Raises: FormatError if it does not end before `end`, or is longer than ten bytes.
        """
        value = shift = 0
        while True:
            if offset >= end:
                raise self.error("it is cut off")
            byte = self._byte(offset)
            offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), offset
            shift += 7
            if shift > 63:
                raise self.error("a number of more than ten bytes")

    def fields(self, span: Span) -> Iterator[tuple[int, int, Any]]:
        """Yield (field number, wire type, value) in order; the value is a number for a varint, else a span.

        Raises: FormatError for fields that do not fit their message, unknown wire types, and where the budget is spent.
        """
        offset, end = span
        while offset < end:
            tag, offset = self.varint(offset, end)
            number, wire = tag >> 3, tag & 7
            self.budget.spend(4)
            if number == 0:
                raise self.error("field number 0")
            if wire == _VARINT:
                value, offset = self.varint(offset, end)
            elif wire == _BYTES:
                length, offset = self.varint(offset, end)
                value, offset = (offset, offset + length), offset + length
            elif wire in (_FIXED32, _FIXED64):
                length = 4 if wire == _FIXED32 else 8
                value, offset = (offset, offset + length), offset + length
            else:
                raise self.error(f"wire type {wire}")
            if offset > end:
                raise self.error("a field is longer than its message")
            yield number, wire, value

    def message(self, span: Span, spec: dict[int, tuple[str, str]]) -> dict[str, Any]:
        """Return the fields of a message that `spec` names, {number: (name, kind)}; others are skipped.

        kinds: int, float, text, span (at most once, else None); texts, spans, ints (a list; ints packed or not,
        MAX_DIMS at most).
        Raises: FormatError for a field of another wire type, or one that occurs twice.
        """
        result: dict[str, Any] = {name: [] if kind.endswith("s") else None for name, kind in spec.values()}
        for number, wire, value in self.fields(span):
            if number not in spec:
                continue
            name, kind = spec[number]
            if kind == "ints" and wire in (_VARINT, _BYTES):
                result[name] += self.ints(value, most=MAX_DIMS).tolist() if wire == _BYTES else [signed(value)]
                continue
            if wire != _WIRE.get(kind):
                raise self.error(f"field {name} has wire type {wire}")
            if kind.startswith("text"):
                value = self.text(value)
            elif kind == "int":
                value = signed(value)
            elif kind == "float":
                (value,) = struct.unpack("<f", self.bytes(value))
            if kind.endswith("s"):
                result[name].append(value)
            elif result[name] is not None:
                raise self.error(f"field {name} occurs twice")
            else:
                result[name] = value
        return result

    def text(self, span: Span) -> str:
        """Return a string of at most 64 KB. Raises: FormatError if it is longer, or not UTF-8."""
        if span[1] - span[0] > 1 << 16:
            raise self.error("a name of more than 64 KB")
        try:
            return self.bytes(span).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error("a name is not UTF-8") from None

    def ints(self, span: Span, *, most: int) -> np.ndarray:
        """Return a packed list of varints as signed numbers.

        Shapes: -> [at most `most`] int64
        Raises: FormatError for more than `most` of them, one that is cut off, and one of more than ten bytes.
        """
        data = self.array(span)
        ends = np.flatnonzero(data < 0x80)
        if len(ends) > most:
            raise self.error(f"{len(ends)} numbers, at most {most} are expected")
        if not len(data):
            return np.zeros(0, np.int64)
        if data[-1] >= 0x80:
            raise self.error("it is cut off")
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts + 1
        if lengths.max() > 10:
            raise self.error("a number of more than ten bytes")
        places = np.arange(len(data)) - np.repeat(starts, lengths)
        return np.add.reduceat((data & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64), starts).view(np.int64)

    def array(self, span: Span) -> np.ndarray:
        """Return the bytes of a span. Shapes: -> [nbytes] uint8."""
        return self.file.read_array(span[0], span[1] - span[0])


def signed(value: int) -> int:
    """Return the 64-bit two's complement number that these bits stand for."""
    return value - 2**64 if value >= 2**63 else value
