"""Read protobuf's wire format strictly, as much of it as ONNX needs, through one descriptor and without copies.

The `onnx` package would bring protobuf and ml_dtypes, load the whole file, and let the last of duplicate fields win,
where two readers could differ; here duplicates are refused.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import FormatError
from .files import SourceFile

Span = tuple[int, int]  # the offsets at which a message or its bytes begin and end
_WINDOW = 1 << 18
MAX_FIELDS = 10_000_000
MAX_REPEATED = 300_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"int": _VARINT, "float": _FIXED32, "text": _BYTES, "span": _BYTES, "texts": _BYTES, "spans": _BYTES}


class Wire:
    """Read the messages of a file, each by its span."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.window, self.window_start = b"", 0
        self.n_remaining = MAX_FIELDS

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

        Raises: FormatError for fields that do not fit their message, unknown wire types, and too many fields.
        """
        offset, end = span
        while offset < end:
            tag, offset = self.varint(offset, end)
            number, wire = tag >> 3, tag & 7
            self.n_remaining -= 1
            if number == 0 or self.n_remaining < 0:
                raise self.error("field number 0" if number == 0 else f"more than {MAX_FIELDS} fields")
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

        kinds: int, float, text, span (at most once, else None); texts, spans, ints (a list; ints packed or not).
        Raises: FormatError for a field of another wire type, or one that occurs twice.
        """
        result: dict[str, Any] = {name: [] if kind.endswith("s") else None for name, kind in spec.values()}
        for number, wire, value in self.fields(span):
            if number not in spec:
                continue
            name, kind = spec[number]
            if kind == "ints" and wire in (_VARINT, _BYTES):
                result[name] += self.ints(value) if wire == _BYTES else [signed(value)]
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
                if len(result[name]) > MAX_REPEATED:
                    raise self.error(f"more than {MAX_REPEATED} of field {name}")
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

    def ints(self, span: Span, *, most: int = 1 << 24) -> list[int]:
        """Return a packed list of varints as signed numbers.

        Raises: FormatError for more than `most` of them.
        """
        offset, values = span[0], []
        while offset < span[1]:
            value, offset = self.varint(offset, span[1])
            values.append(signed(value))
            if len(values) > most:
                raise self.error(f"more than {most} numbers")
        return values

    def array(self, span: Span) -> np.ndarray:
        """Return the bytes of a span. Shapes: -> [nbytes] uint8."""
        return self.file.read_array(span[0], span[1] - span[0])


def signed(value: int) -> int:
    """Return the 64-bit two's complement number that these bits stand for."""
    return value - 2**64 if value >= 2**63 else value
