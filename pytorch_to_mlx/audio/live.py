"""Audio in blocks as it arrives, from a file, stdin or the microphone; and what the commands that listen share."""

import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np

from ..errors import FormatError, MachineError, MissingExtraError, PortError, UsageError
from ..progress import note
from . import pcm, wav
from .resample import resample_blocks

T = TypeVar("T")
BLOCK_S = 0.08


def input_kind(audio: Sequence[str], *, raw: bool, microphone: bool) -> Literal["files", "raw", "microphone"] | None:
    """Return which input a command names: audio files, raw audio on stdin, or the microphone; None if not exactly one.

    With `raw`, the file name - is stdin, which is no second input.
    """
    kinds: list[Literal["files", "raw", "microphone"]] = []
    if audio and not (raw and list(audio) == ["-"]):
        kinds.append("files")
    if raw:
        kinds.append("raw")
    if microphone:
        kinds.append("microphone")
    return kinds[0] if len(kinds) == 1 else None


def parse_device(device: str | None) -> int | str | None:
    """Return a device as sounddevice takes it: digits as a number, anything else as a name."""
    return int(device) if device is not None and device.isdigit() else device


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """Yield the items until they end or the user presses Ctrl-C, which is the end of listening, not an error."""
    try:
        yield from items
    except KeyboardInterrupt:
        note("stopped")


def from_file(path: str | Path | bytes, sample_rate: int, *, block_s: float = 1.0) -> Iterator[np.ndarray]:
    """Read a recording in blocks at `sample_rate`; memory does not grow with its length.

    Shapes: -> float32 [L] each. Raises: what audio.wav.reader raises.
    """
    with wav.reader(path, block_s=block_s) as (rate, blocks):
        yield from resample_blocks(blocks, rate, sample_rate)


def from_stdin(
    sample_rate: int, *, raw_rate: int | None = None, stream: BinaryIO | None = None
) -> Iterator[np.ndarray]:
    """Read audio from a pipe as it arrives: 16-bit little-endian samples, raw or after the header of a WAV file.

    raw_rate: of raw audio, which has one channel; by default `sample_rate`. stream: a pipe to read instead of stdin.
    Shapes: -> float32 [L] each, at `sample_rate`.
    Raises: UsageError if stdin is closed or a rate is out of range, FormatError for other audio files.
    """
    if stream is None and sys.stdin is None:
        raise UsageError("stdin is closed")
    pipe = stream or sys.stdin.buffer
    rate = sample_rate if raw_rate is None else raw_rate
    _check_rate(rate)
    head, channels = pcm.read_bytes(pipe, 4), 1
    if head == b"RIFF":
        rate, channels = pcm.read_header(pipe)
        _check_rate(rate)
        head = b""
    elif head in (b"fLaC", b"OggS", b"\x1aE\xdf\xa3"):
        raise FormatError("stdin is a compressed audio file", fix="give the file itself, WAV, or 16-bit raw audio")
    return resample_blocks(pcm.read_samples(pipe, head, channels), rate, sample_rate)


def _check_rate(rate: int) -> None:
    if not pcm.MIN_RATE <= rate <= pcm.MAX_RATE:
        raise UsageError(f"the sample rate is {rate} Hz", fix=f"between {pcm.MIN_RATE} and {pcm.MAX_RATE} Hz are read")


def prefetch(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Read blocks in a thread, so that none is lost while the caller is busy; blocks that have piled up come as one.

    Shapes: float32 [L] each. Raises: what reading a block raises.
    """
    waiting: queue.SimpleQueue[np.ndarray | Exception | None] = queue.SimpleQueue()  # None: the end

    def read() -> None:
        try:
            for block in blocks:
                waiting.put(block)
            waiting.put(None)
        except (PortError, OSError) as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        items = [waiting.get()]
        while not waiting.empty():
            items.append(waiting.get())
        if new_blocks := [item for item in items if isinstance(item, np.ndarray)]:
            yield np.concatenate(new_blocks)
        last = items[-1]
        if last is None:
            return
        if isinstance(last, Exception):
            raise last


def from_microphone(
    sample_rate: int, *, block_s: float = BLOCK_S, device: int | str | None = None
) -> Iterator[np.ndarray]:
    """Record from the microphone without end. device: a number or a name of sounddevice.

    Shapes: -> float32 [block_s · sample_rate] each.
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
        raise MachineError(f"cannot listen: {error}", fix="check that a microphone is there and allowed") from error
