"""Audio as it comes: blocks of samples from a file, from raw numbers on stdin, or from the microphone."""

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import FormatError, MachineError, MissingExtraError, PortError, UsageError
from . import wav

BLOCK_S = 0.08
_MOST = 1 << 20  # bytes taken from a pipe at once


def from_file(path: str | Path | bytes, sample_rate: int, *, block_s: float = 1.0) -> Iterator[np.ndarray]:
    """A recording in blocks, at `sample_rate`; memory does not grow with its length.

    Shapes: float32 [L]. Raises: what audio.wav.reader raises.
    """
    with wav.reader(path, block_s=block_s) as (rate, blocks):
        yield from resampled(blocks, rate, sample_rate)


def from_stdin(
    sample_rate: int, *, raw_rate: int | None = None, stream: BinaryIO | None = None
) -> Iterator[np.ndarray]:
    """Audio from a pipe as soon as it comes: 16-bit little-endian numbers, raw or after the header of a WAV file.

    raw_rate: of raw audio, which has one channel; by default `sample_rate`. stream: another pipe than stdin.
    Shapes: float32 [L]. Raises: UsageError if stdin is closed or a rate is unlikely, FormatError for other audio files.
    """
    if stream is None and sys.stdin is None:
        raise UsageError("stdin is closed")
    pipe = stream or sys.stdin.buffer
    rate = sample_rate if raw_rate is None else raw_rate
    _check_rate(rate)
    head, channels = _take(pipe, 4), 1
    if head == b"RIFF":
        rate, channels = _wav_header(pipe)
        _check_rate(rate)
        head = b""
    elif head in (b"fLaC", b"OggS"):
        raise FormatError("stdin is a compressed file", fix="give the file itself, WAV, or 16-bit raw audio")
    return resampled(_pcm(pipe, head, channels), rate, sample_rate)


def _check_rate(rate: int) -> None:
    if not wav.MIN_RATE <= rate <= wav.MAX_RATE:
        raise UsageError(f"the sample rate is {rate} Hz", fix=f"between {wav.MIN_RATE} and {wav.MAX_RATE} Hz are read")


def _take(stream: BinaryIO, count: int) -> bytes:
    """So many bytes, or all there are before the end."""
    data = b""
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def _wav_header(stream: BinaryIO) -> tuple[int, int]:
    """Read up to the samples of a WAV file, after its first four bytes: sample rate and channels."""
    kind = rate = channels = bits = 0
    if _take(stream, 8)[4:] != b"WAVE":
        raise FormatError("stdin is a RIFF file and no WAV")
    for _ in range(64):
        name, size = (header := _take(stream, 8))[:4], int.from_bytes(header[4:], "little")
        if name == b"data":
            if (kind, bits) not in ((1, 16), (0xFFFE, 16)) or not 1 <= channels <= wav.MAX_CHANNELS:
                raise FormatError(f"stdin is WAV with {channels} channels of {bits} bits", fix="16-bit PCM is read")
            return rate, channels
        if len(header) < 8 or size > _MOST:
            break
        body = _take(stream, size + size % 2)
        if name == b"fmt " and len(body) >= 16:
            kind, channels = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
            rate, bits = int.from_bytes(body[4:8], "little"), int.from_bytes(body[14:16], "little")
    raise FormatError("stdin is a WAV file without samples")


def _pcm(stream: BinaryIO, rest: bytes, channels: int) -> Iterator[np.ndarray]:
    read = getattr(stream, "read1", stream.read)  # what is there, without waiting for more
    frame = 2 * channels
    while data := read(_MOST):
        data = rest + data
        whole = len(data) // frame * frame
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32).reshape(-1, channels).mean(axis=1) / 32768


def ahead(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same audio, read by a thread of its own: while the reader of this is busy, what comes is kept and joined.

    Shapes: float32 [L] each.
    """
    waiting: queue.SimpleQueue[np.ndarray | Exception | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for block in blocks:
                waiting.put(block)
            waiting.put(None)
        except (PortError, OSError) as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    going = True
    while going:
        taken = [waiting.get()]
        while not waiting.empty():
            taken.append(waiting.get())
        found = [block for block in taken if isinstance(block, np.ndarray)]
        if found:
            yield np.concatenate(found)
        if isinstance(taken[-1], Exception):
            raise taken[-1]
        going = taken[-1] is not None


def from_microphone(
    sample_rate: int, *, block_s: float = BLOCK_S, device: int | str | None = None
) -> Iterator[np.ndarray]:
    """What the microphone hears, for as long as it is asked. device: a number or a name of sounddevice.

    Shapes: float32 [block_s · sample_rate].
    Raises: MissingExtraError without the package sounddevice, MachineError without PortAudio or a microphone.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise MissingExtraError("sounddevice", "listen", needed_for="listening to the microphone") from error
    except OSError as error:  # the package is there, the library it calls is not
        raise MachineError(f"cannot listen: {error}", fix="on Debian run: sudo apt install libportaudio2") from error
    size = round(block_s * sample_rate)
    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, dtype="float32", device=device) as stream:
            while True:
                block, _ = stream.read(size)
                yield np.ascontiguousarray(block[:, 0])
    except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: no such device
        raise MachineError(f"cannot listen: {error}", fix="is a microphone there, and allowed?") from error


def resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Blocks at another rate, with the filter of audio.resample; its delay ends with the last block.

    Shapes: float32 [L] each.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        if len(made := stream.resample_chunk(np.ascontiguousarray(block, np.float32))):
            yield made
    if len(made := stream.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield made
