"""Wyoming's frames: a line of JSON, then more JSON and bytes of audio whose lengths the line tells.

Whatever a client claims, no more is read than the limits here. A connection whose bytes are not Wyoming is over: after
a web page's request to this port nothing of its body is taken for an event.
Source: OHF-Voice/wyoming 1.10.2, docs/specification.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...checkpoint.json_file import parse_json
from ...errors import FormatError
from ..refusals import Refusal

VERSION = "1.10.2"  # of the protocol
MAX_LINE, MAX_DATA, MAX_PAYLOAD = 1 << 16, 1 << 20, 1 << 20  # bytes
MAX_DEPTH = 10


@dataclass(frozen=True)
class Event:
    """What one side tells the other."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the frame."""
        data = json.dumps(self.data, ensure_ascii=False).encode() if self.data else b""
        header: dict[str, Any] = {"type": self.type, "version": VERSION}
        if data:
            header["data_length"] = len(data)
        if self.payload:
            header["payload_length"] = len(self.payload)
        return json.dumps(header).encode() + b"\n" + data + self.payload


class Send(Protocol):
    """What sends an event to the client. Raises: ConnectionError if it has left, TimeoutError if it does not read."""

    async def __call__(self, type: str, payload: bytes = b"", /, **data: Any) -> None: ...


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """Return the next event, None at the end; the reader's limit is MAX_LINE. Raises: Refusal for other bytes."""
    try:
        line = await reader.readuntil(b"\n")
        header = _parse(line)
        data = header.get("data") or {}
        if n_data := _length(header, "data_length", MAX_DATA):
            if not isinstance(data, dict):
                raise Refusal(400, "'data' is not an object")
            data = {**data, **_parse(await reader.readexactly(n_data))}
        payload = await reader.readexactly(_length(header, "payload_length", MAX_PAYLOAD))
    except asyncio.LimitOverrunError:
        raise Refusal(400, f"a line has over {MAX_LINE} bytes") from None
    except asyncio.IncompleteReadError as problem:
        if not problem.partial and problem.expected is None:
            return None
        raise Refusal(400, "the connection ends within an event") from None
    kind = header.get("type")
    if not isinstance(kind, str) or len(kind) > 100 or not isinstance(data, dict):
        raise Refusal(400, "an event needs a type, and data that is an object")
    return Event(kind, data, payload)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return parse_json(data, where="an event", max_depth=MAX_DEPTH)
    except FormatError as problem:
        raise Refusal(400, f"not an event of Wyoming: {problem.what}") from None


def _length(header: Mapping[str, Any], name: str, most: int) -> int:
    length = header.get(name)
    if length is None:
        return 0
    if type(length) is not int or not 0 <= length <= most:
        raise Refusal(400, f"'{name}' must be a number of bytes up to {most}")
    return length
