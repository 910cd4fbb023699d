"""A strict reader for protobuf's wire format, as much of it as ONNX needs, on one descriptor and without copies.

An own reader of this size instead of the `onnx` package: that one brings protobuf and ml_dtypes, loads the whole file,
and resolves duplicate fields ("last wins") where two readers could differ; here they are refused.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import FormatError
from .files import SourceFile

Span = tuple[int, int]
_WINDOW = 1 << 18
MAX_FIELDS = 10_000_000
MAX_REPEATED = 300_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"int": _VARINT, "float": _FIXED32, "text": _BYTES, "span": _BYTES, "texts": _BYTES, "spans": _BYTES}


class Wire:
    """Reads messages out of a file by the span (begin, end) of each."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.window, self.base = b"", 0
        self.left = MAX_FIELDS

    def error(self, what: str) -> FormatError:
        return FormatError(f"malformed protobuf: {what}", where=self.file.path)

    def _byte(self, at: int) -> int:
        index = at - self.base
        if not 0 <= index < len(self.window):
            self.window = self.file.read(at, min(_WINDOW, self.file.size - at))
            self.base, index = at, 0
        return self.window[index]

    def bytes(self, span: Span) -> bytes:
        """The bytes of a span, out of the window if they are there."""
        begin, end = span[0] - self.base, span[1] - self.base
        if 0 <= begin <= end <= len(self.window):
            return self.window[begin:end]
        return self.file.read(span[0], span[1] - span[0])

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """One varint and the offset after it."""
        value = shift = 0
        while True:
            if at >= end:
                raise self.error("it is cut off")
            byte = self._byte(at)
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), at
            shift += 7
            if shift > 63:
                raise self.error("a number of more than ten bytes")

    def fields(self, span: Span) -> Iterator[tuple[int, int, Any]]:
        """(field number, wire type, value) in order; the value of a length-delimited field is its span."""
        at, end = span
        while at < end:
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            self.left -= 1
            if number == 0 or self.left < 0:
                raise self.error("field number 0" if number == 0 else f"more than {MAX_FIELDS} fields")
            if wire == _VARINT:
                value, at = self.varint(at, end)
            elif wire == _BYTES:
                length, at = self.varint(at, end)
                value, at = (at, at + length), at + length
            elif wire in (_FIXED32, _FIXED64):
                length = 4 if wire == _FIXED32 else 8
                value, at = (at, at + length), at + length
            else:
                raise self.error(f"wire type {wire}")
            if at > end:
                raise self.error("a field is longer than its message")
            yield number, wire, value

    def message(self, span: Span, spec: dict[int, tuple[str, str]]) -> dict[str, Any]:
        """The fields named in `spec` (number -> (name, kind)); other fields are skipped, as protobuf does.

        kinds: int, float, text, span (once); texts, spans, ints (any number; ints packed or not).
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
        if span[1] - span[0] > 1 << 16:
            raise self.error("a name of more than 64 KB")
        try:
            return self.bytes(span).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error("a name is not UTF-8") from None

    def ints(self, span: Span, *, most: int = 1 << 24) -> list[int]:
        """A packed list of varints."""
        at, values = span[0], []
        while at < span[1]:
            value, at = self.varint(at, span[1])
            values.append(signed(value))
            if len(values) > most:
                raise self.error(f"more than {most} numbers")
        return values

    def array(self, span: Span) -> np.ndarray:
        """Shapes: -> [bytes] uint8."""
        return self.file.read_array(span[0], span[1] - span[0])


def signed(value: int) -> int:
    """A 64-bit two's complement number."""
    return value - 2**64 if value >= 2**63 else value
