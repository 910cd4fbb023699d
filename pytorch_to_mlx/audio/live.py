"""Audio as it comes: blocks of samples from a file, from raw numbers on stdin, or from the microphone."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import FormatError, MachineError, MissingExtraError, UsageError
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
    """Raw audio from a pipe as soon as it comes: 16-bit signed little-endian numbers, one channel, `raw_rate` Hz.

    raw_rate: by default `sample_rate`. stream: another pipe than stdin.
    Shapes: float32 [L]. Raises: UsageError if stdin is closed or a rate is unlikely.
    """
    if stream is None and sys.stdin is None:
        raise UsageError("stdin is closed")
    pipe = stream or sys.stdin.buffer
    rate = sample_rate if raw_rate is None else raw_rate
    if not wav.MIN_RATE <= rate <= wav.MAX_RATE:
        raise UsageError(f"the sample rate is {rate} Hz", fix=f"between {wav.MIN_RATE} and {wav.MAX_RATE} Hz are read")
    return resampled(_pcm(pipe), rate, sample_rate)


def _pcm(stream: BinaryIO) -> Iterator[np.ndarray]:
    read = getattr(stream, "read1", stream.read)  # what is there, without waiting for more
    rest, first = b"", True
    while data := read(_MOST):
        if first and data[:4] in (b"RIFF", b"fLaC", b"OggS"):
            raise FormatError(
                "stdin is an audio file, not raw samples", fix="give the file itself, or 16-bit raw audio"
            )
        data, first = rest + data, False
        whole = len(data) // 2 * 2
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


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
