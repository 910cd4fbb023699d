"""Read and write audio files: WAV, FLAC, Ogg and MP3 through libsndfile. Every file is hostile until checked."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from ..errors import CheckError, FormatError, MachineError, UsageError

# What is written, by extension: libsndfile's format and subtype.
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# What is read. ADPCM and the other rare codecs are left out: old decoders have memory faults in them.
_CONTAINERS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
_CODECS = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS", "MPEG_LAYER_", "ALAC_")
MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 192_000, 32
MAX_SECONDS = 6 * 3600.0
_BLOCK = 1 << 18


def read(source: str | Path | bytes, *, max_seconds: float = MAX_SECONDS) -> tuple[np.ndarray, int]:
    """Read an audio file, or the bytes of one, as mono.

    Shapes: -> (float32 [L] in samples, sample rate in Hz); channels are averaged.
    Raises: FormatError for anything but intact audio (NaN, cut files and unlikely sample rates included) and for more
    than `max_seconds`; UsageError if there is no such file, MachineError if it cannot be opened.
    """
    where = "audio" if isinstance(source, bytes) else str(source)
    with _opened(source, where) as raw:
        _check_riff_length(raw, where)
        sound = _sound_file(raw, where)
        with sound:
            _check_header(sound, where, max_seconds)
            audio = _samples(sound, where, max_seconds)
            return audio, sound.samplerate


@contextmanager
def reader(source: str | Path | bytes, *, block_s: float = 1.0) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Read audio of any length block by block, as mono: yield the sample rate, and blocks of at most `block_s` seconds.

    Shapes: blocks float32 [L]. Raises: what `read` raises, once the block with the fault is reached.
    """
    where = "audio" if isinstance(source, bytes) else str(source)
    with _opened(source, where) as raw:
        _check_riff_length(raw, where)
        with _sound_file(raw, where) as sound:
            _check_header(sound, where, float("inf"))
            size = max(1, round(block_s * sound.samplerate))
            yield sound.samplerate, _blocks(sound, where, 1e9, size)


def format_of(path: str | Path, name: str | None = None) -> str:
    """Return the format to write: `name`, or else the extension of `path`. Raises: UsageError for an unknown format."""
    format = (name or Path(path).suffix.removeprefix(".")).lower()
    if format not in FORMATS:
        what = f"audio is not written as '{format}'" if format else f"'{path}' has no extension that names a format"
        raise UsageError(what, fix=f"formats: {', '.join(FORMATS)}")
    return format


@contextmanager
def writer(path: str | Path, sample_rate: int, *, format: str | None = None) -> Iterator["Writer"]:
    """Write audio in pieces; the file appears at `path`, complete and verified, only if the block ends without error.

    Raises: UsageError for an unknown format or a folder that does not exist, MachineError when it cannot be written,
    CheckError if the audio is not finite or the file does not read back.
    """
    output = Writer(Path(path), sample_rate, format_of(path, format))
    try:
        yield output
        output.finish()
    finally:
        output.discard()


class Writer:
    """An audio file that is being written: `write` adds audio, `samples` counts it."""

    def __init__(self, destination: Path, sample_rate: int, format: str) -> None:
        import soundfile

        if destination.is_dir() or not destination.parent.is_dir():
            reason = "it is a folder" if destination.is_dir() else "its folder does not exist"
            raise UsageError(f"cannot write audio to '{destination}': {reason}")
        self.samples = 0
        self._destination = destination
        self._rate = sample_rate
        self._container, codec = FORMATS[format]
        self._temporary = destination.with_name(f".{destination.name[:40]}.{token_hex(6)}.part")
        with self._reported():
            self._temporary.touch(exist_ok=False)  # libsndfile's own message is only "System error."
            self._sound = soundfile.SoundFile(self._temporary, "w", sample_rate, 1, codec, format=self._container)

    def write(self, audio: np.ndarray) -> None:
        """Add audio, clipped to [-1, 1]. Shapes: audio float [L]. Raises: CheckError for NaN or infinity."""
        if not np.isfinite(audio).all():
            raise CheckError("the audio contains NaN or infinity; nothing was written")
        with self._reported():
            self._sound.write(np.clip(audio, -1.0, 1.0))
        self.samples += len(audio)

    def finish(self) -> None:
        """Close the file, read it back, and move it to its place. Raises: CheckError if it does not read back."""
        with self._reported():
            self._sound.close()
            with open(self._temporary, "rb") as file:
                os.fsync(file.fileno())
        _check_written(self._temporary, self._rate, self.samples, self._container, self._destination)
        with self._reported():
            os.replace(self._temporary, self._destination)

    def discard(self) -> None:
        """Remove the temporary file; after `finish` there is none."""
        try:
            self._sound.close()
        except RuntimeError:
            pass  # a full disk cannot take the header either
        self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        import soundfile

        try:
            yield
        except (OSError, AssertionError, soundfile.SoundFileRuntimeError) as error:
            self._temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or "not all of it could be written"
            raise MachineError(f"writing failed: {reason}", where=self._destination) from error


def write(path: str | Path, audio: np.ndarray, sample_rate: int, *, format: str | None = None) -> Path:
    """Write audio at once, as `writer` does, and return its path. Shapes: audio float [L]."""
    with writer(path, sample_rate, format=format) as output:
        output.write(np.asarray(audio))
    return Path(path)


@contextmanager
def _opened(source: str | Path | bytes, where: str) -> Iterator[Any]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise FormatError("not a regular file", where=where, fix="give an audio file")
        with open(source, "rb") as raw:
            yield raw
    except FileNotFoundError as error:
        raise UsageError("there is no such file", where=where) from error
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"not a path: {error}", where=repr(where)) from error
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror}", where=where) from error


def _sound_file(raw: Any, where: str) -> Any:
    import soundfile

    try:
        return soundfile.SoundFile(raw)
    except soundfile.LibsndfileError as error:
        fix = "give WAV, FLAC, Ogg or MP3; others can be turned into one: ffmpeg -i INPUT output.wav"
        raise FormatError(
            f"not audio that can be read ({error.error_string.rstrip('.')})", where=where, fix=fix
        ) from error


def _check_header(sound: Any, where: str, max_seconds: float) -> None:
    codec = sound.subtype or ""
    if sound.format not in _CONTAINERS or not codec.startswith(_CODECS):
        raise FormatError(f"{sound.format} with {codec} is not read", where=where, fix="ffmpeg -i INPUT output.wav")
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        fix = f"between {MIN_RATE} and {MAX_RATE} Hz are read"
        raise FormatError(f"the sample rate is {sound.samplerate} Hz", where=where, fix=fix)
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise FormatError(f"{sound.channels} channels; 1 to {MAX_CHANNELS} are read", where=where)
    if sound.frames > max_seconds * sound.samplerate:
        _too_long(where, max_seconds)


def _too_long(where: str, max_seconds: float) -> None:
    raise FormatError(f"longer than {max_seconds:g} s of audio", where=where, fix="cut it into parts")


def _samples(sound: Any, where: str, max_seconds: float) -> np.ndarray:
    blocks = list(_blocks(sound, where, max_seconds, _BLOCK))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _blocks(sound: Any, where: str, max_seconds: float, size: int) -> Iterator[np.ndarray]:
    """Decode block by block, so that a small file cannot become a large array unseen."""
    import soundfile

    n_remaining = int(max_seconds * sound.samplerate)
    while True:
        try:
            block = sound.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise FormatError(f"the audio is damaged ({error.error_string})", where=where) from error
        if not len(block):
            return
        n_remaining -= len(block)
        if n_remaining < 0:
            _too_long(where, max_seconds)
        if not np.isfinite(block).all():
            raise FormatError("the audio contains NaN or infinity", where=where)
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _check_riff_length(raw: Any, where: str) -> None:
    """Refuse a cut WAV file, which libsndfile reads as far as it goes without an error.

    A length of all ones is accepted: a program that streams writes it, not knowing the length yet.
    """
    head = raw.read(12)
    size = raw.seek(0, os.SEEK_END)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        position = 12
        while position + 8 <= size:
            raw.seek(position)
            name, length = (header := raw.read(8))[:4], int.from_bytes(header[4:], "little")
            if name == b"data":
                if length != 0xFFFFFFFF and position + 8 + length > size:
                    n_bytes = size - position - 8
                    raise FormatError(
                        f"the file is cut: {length:,} bytes of audio declared, {n_bytes:,} found", where=where
                    )
                break
            position += 8 + length + length % 2
    raw.seek(0)


def _check_written(path: Path, sample_rate: int, samples: int, container: str, destination: Path) -> None:
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise CheckError(f"the written file does not read back: {error}", where=destination) from error
    # MP3 is made of blocks of 1152 samples: the encoder pads the end.
    same_length = info.frames == samples or (container == "MP3" and 0 <= info.frames - samples < 4 * 1152)
    if info.format != container or info.samplerate != sample_rate or not same_length:
        what = f"wrote {samples} samples at {sample_rate} Hz, read back {info.frames} at {info.samplerate} Hz"
        raise CheckError(what, where=destination)
