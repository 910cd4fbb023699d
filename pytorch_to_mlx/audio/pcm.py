"""Samples as whole numbers: of 16 bits from a pipe as they arrive, raw or after the header of a WAV file."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from ..errors import FormatError

MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 192_000, 32
_MAX_READ = 1 << 20  # bytes read from a pipe at once


def whole_numbers(audio: np.ndarray, bits: int) -> np.ndarray:
    """Return samples in [-1, 1] as whole numbers of so many bits. Shapes: float [...] -> int32 [...]."""
    top = 2.0 ** (bits - 1)
    return np.clip(np.rint(audio.astype(np.float64) * top), -top, top - 1).astype(np.int32)


def read_bytes(stream: BinaryIO, count: int) -> bytes:
    """Read `count` bytes, or fewer if the stream ends before."""
    data = b""
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def read_header(stream: BinaryIO, name: str = "stdin") -> tuple[int, int]:
    """Read a WAV file, after its first four bytes, up to its samples; return the sample rate and the channels.

    Raises: FormatError for anything but 16-bit PCM.
    """
    codec = rate = channels = bits = 0
    if read_bytes(stream, 8)[4:] != b"WAVE":
        raise FormatError(f"{name} is a RIFF file, but not WAV")
    for _ in range(64):
        chunk, size = (header := read_bytes(stream, 8))[:4], int.from_bytes(header[4:], "little")
        if chunk == b"data":
            if (codec, bits) not in ((1, 16), (0xFFFE, 16)) or not 1 <= channels <= MAX_CHANNELS:
                raise FormatError(f"{name} is WAV with {channels} channels of {bits} bits", fix="16-bit PCM is read")
            return rate, channels
        if len(header) < 8 or size > _MAX_READ:
            break
        body = read_bytes(stream, size + size % 2)
        if chunk == b"fmt " and len(body) >= 16:
            codec, channels = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
            rate, bits = int.from_bytes(body[4:8], "little"), int.from_bytes(body[14:16], "little")
    raise FormatError(f"{name} is a WAV file without samples")


def read_samples(stream: BinaryIO, head: bytes, channels: int) -> Iterator[np.ndarray]:
    """Yield 16-bit samples as they arrive, channels averaged; `head` is what was already read of them.

    Shapes: -> float32 [L] each.
    """
    # read1 returns what has arrived, without waiting for more
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    frame_bytes = 2 * channels
    partial = head
    while data := read(_MAX_READ):
        data = partial + data
        end = len(data) // frame_bytes * frame_bytes
        partial = data[end:]
        if end:
            yield np.frombuffer(data[:end], "<i2").astype(np.float32).reshape(-1, channels).mean(axis=1) / 32768
