"""Read and write audio files, by libsndfile or else ffmpeg. Every file is hostile until checked."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.files import require_memory
from ..errors import CheckError, FormatError, MachineError, UsageError
from ..outputs import Output
from . import ffmpeg
from .encoder import ENCODINGS, FORMATS, Encoder, encoded_rate
from .pcm import MAX_CHANNELS, MAX_RATE, MIN_RATE, whole_numbers
from .resample import resample_blocks

__all__ = ["FORMATS", "Writer", "format_of", "read", "read_pcm", "reader", "write", "writer"]

# What is read. ADPCM and the other rare codecs are left out: old decoders have memory faults in them.
_CONTAINERS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
_CODECS = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS", "MPEG_LAYER_", "ALAC_")
MAX_SECONDS = 6 * 3600.0
MAX_SAMPLES = 1 << 31  # of all channels: six hours of stereo at 48 kHz; decoding more takes minutes
_BLOCK_S = 5.0
_MAX_BLOCK = 1 << 22  # samples of all channels
_OWN = (b"RIFF", b"RF64", b"fLaC", b"FORM", b".snd")  # libsndfile knows these: what it refuses is damaged or unsafe


def read(
    source: str | Path | bytes, *, sample_rate: int | None = None, max_seconds: float = MAX_SECONDS
) -> tuple[np.ndarray, int]:
    """Read an audio file, or the bytes of one, as mono; what libsndfile does not know, through ffmpeg.

    sample_rate: resample to this, block by block: memory grows with what is returned, not with the file's own rate.
    Shapes: -> (float32 [L] in samples, sample rate in Hz); channels are averaged.
    Raises: FormatError for anything but intact audio (NaN, cut files and unlikely sample rates included) and for more
    than `max_seconds` or MAX_SAMPLES; MachineError for more than the memory holds; UsageError if there is no such file,
    MachineError if it cannot be opened.
    """
    where = _name(source)
    with _decoder(source, where, max_seconds, MAX_SAMPLES, _BLOCK_S) as (rate, n_samples, blocks):
        to_rate = sample_rate or rate
        n_expected = -(-(n_samples or 0) * to_rate // rate)
        require_memory(n_expected * 4, where=where)
        return _gather(resample_blocks(blocks, rate, to_rate), n_expected), to_rate


def read_pcm(source: str | Path | bytes, *, max_seconds: float = MAX_SECONDS) -> tuple[np.ndarray, int, int]:
    """Read an audio file as whole numbers, channel by channel, as pydub 0.25.1 holds them.

    8 and 16 bits stay; 24 bits fill 32, with ones under negative numbers of a WAV file. MP3 and what goes through
    ffmpeg (as mono) become 16 bits, other codecs 32.
    Shapes: -> (int32 [L, C], sample rate in Hz, bits). Raises: what `read` raises.
    """
    import soundfile

    where = _name(source)
    with _opened(source, where) as raw:
        _check_riff_length(raw, where)
        try:
            sound = soundfile.SoundFile(raw)
        except soundfile.LibsndfileError:
            audio, rate = read(source, max_seconds=max_seconds)
            return whole_numbers(audio[:, None], 16), rate, 16
        with sound:
            _check_codec(sound, where)
            _check_numbers(sound.samplerate, sound.channels, where)
            if sound.frames > min(max_seconds * sound.samplerate, MAX_SAMPLES / sound.channels):
                _too_long(where, max_seconds)
            codec = sound.subtype or ""
            bits = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16}.get(codec, 16 if codec.startswith("MPEG") else 32)
            blocks = []
            for block in _decoded(sound, where, _MAX_BLOCK // 4, "int32" if codec.startswith("PCM") else "float64"):
                if block.dtype == np.float64:
                    block = whole_numbers(block, bits)
                elif codec == "PCM_24":
                    block = block | (block < 0) * np.int32(0xFF if sound.format in ("WAV", "WAVEX") else 0)
                else:
                    block = block >> (32 - bits)
                blocks.append(block)
            return np.concatenate([np.zeros((0, sound.channels), np.int32), *blocks]), sound.samplerate, bits


@contextmanager
def reader(source: str | Path | bytes, *, block_s: float = 1.0) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Read audio of any length block by block, as mono: yield the sample rate, and blocks of at most `block_s` seconds.

    Shapes: blocks float32 [L]. Raises: what `read` raises, once the block with the fault is reached.
    """
    with _decoder(source, _name(source), 1e9, None, block_s) as (rate, _, blocks):
        yield rate, blocks


def format_of(path: str | Path, name: str | None = None) -> str:
    """Return the format to write: `name`, or else the extension of `path`. Raises: UsageError for an unknown format."""
    format = (name or Path(path).suffix.removeprefix(".")).lower()
    if format not in ENCODINGS:
        what = f"audio is not written as '{format}'" if format else f"'{path}' has no extension that names a format"
        raise UsageError(what, fix=f"formats: {', '.join(ENCODINGS)}")
    return format


@contextmanager
def writer(
    path: str | Path, sample_rate: int, *, format: str | None = None, keep_partial: bool = False
) -> Iterator["Writer"]:
    """Write audio in pieces; the file appears at `path`, complete and verified, only if the block ends without error.

    keep_partial: it also appears, with the audio until then, if the user ends the run or the machine does, as by a full
    disk. What is not a regular file (a device, a pipe, - for stdout) gets the audio as it comes.
    Raises: UsageError for an unknown format or a folder that does not exist, MachineError when it cannot be written,
    CheckError if the audio is not finite or the file does not read back.
    """
    output = Writer(Path(path), sample_rate, format_of(path, format))
    try:
        yield output
        output.finish()
    except (KeyboardInterrupt, SystemExit, MachineError):
        if keep_partial and output.samples:
            output.keep()
        raise
    finally:
        output.discard()


class Writer:
    """An audio file that is being written: `write` adds audio, `samples` counts it."""

    def __init__(self, destination: Path, sample_rate: int, format: str) -> None:
        self.samples = 0
        self._destination, self._rate, self._format = destination, sample_rate, format
        self._output = Output(destination)
        descriptor, seekable = self._output.file.fileno(), self._output.temporary is not None
        with ExitStack() as undo:
            undo.callback(self._output.discard)
            with self._reported():
                self._encoder = Encoder(descriptor, sample_rate, format, seekable=seekable)
            undo.pop_all()

    def write(self, audio: np.ndarray) -> None:
        """Add audio, clipped to [-1, 1]. Shapes: audio float [L]. Raises: CheckError for NaN or infinity."""
        if not np.isfinite(audio).all():
            raise CheckError("the audio contains NaN or infinity; nothing was written")
        with self._reported():
            self._encoder.write(np.clip(audio, -1.0, 1.0))
        self.samples += len(audio)

    def finish(self) -> None:
        """Close the file, read it back, and move it to its place. Raises: CheckError if it does not read back."""
        with self._reported():
            self._encoder.finish()
        if (temporary := self._output.temporary) is not None:
            _check_written(temporary, self._rate, self.samples, self._format, self._destination)
        self._output.finish()

    def keep(self) -> None:
        """Finish an output that ends early: what `write` took whole is a file that plays.

        Raises: what `finish` raises.
        """
        if self._encoder.whole:
            self.finish()
        elif self._output.temporary is not None:
            with self._reported():
                self._encoder.cut()
            self._output.finish()

    def discard(self) -> None:
        """Remove the temporary file; after `finish` there is none."""
        self._encoder.close()
        self._output.discard()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        import soundfile

        try:
            with self._output.reported():
                yield
        except (AssertionError, soundfile.SoundFileRuntimeError) as error:
            raise MachineError("writing failed: not all of it could be written", where=self._destination) from error


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


def _name(source: str | Path | bytes) -> str:
    return "audio" if isinstance(source, bytes) else str(source)


@contextmanager
def _decoder(
    source: str | Path | bytes, where: str, max_seconds: float, max_samples: int | None, block_s: float
) -> Iterator[tuple[int, int | None, Iterator[np.ndarray]]]:
    """Yield the sample rate, the number of samples if the file tells it, and checked mono blocks."""
    import soundfile

    with ExitStack() as stack:
        raw = stack.enter_context(_opened(source, where))
        _check_riff_length(raw, where)
        try:
            sound = stack.enter_context(soundfile.SoundFile(raw))
        except soundfile.LibsndfileError as error:
            program = _ffmpeg_for(raw, where, error)
            rate, channels, blocks = stack.enter_context(ffmpeg.decoded(source, where, program))
            n_samples = None
            blocks = _pieces(blocks, max(1, round(block_s * rate)))
        else:
            _check_codec(sound, where)
            rate, channels, n_samples = sound.samplerate, sound.channels, sound.frames
            blocks = _blocks(sound, where, max(1, round(block_s * rate)))
        _check_numbers(rate, channels, where)
        if max_samples is not None:
            max_seconds = min(max_seconds, max_samples / channels / rate)
        if n_samples is not None and n_samples > max_seconds * rate:
            _too_long(where, max_seconds)
        yield rate, n_samples, _checked(blocks, where, rate, max_seconds)


def _ffmpeg_for(raw: Any, where: str, error: Any) -> str:
    """Return the ffmpeg that is to try a file. Raises: FormatError if there is none, or libsndfile knows the format."""
    raw.seek(0)
    head = raw.read(12)
    program = ffmpeg.find()
    if program is not None and head and not head.startswith(_OWN):
        return program
    fix = "WAV, FLAC, Ogg and MP3 are read"
    if program is None:
        fix += "; with ffmpeg installed (on PATH) this is done for m4a, mp4, mov and webm too"
    raise FormatError(f"not audio that can be read ({error.error_string.rstrip('.')})", where=where, fix=fix) from error


def _check_codec(sound: Any, where: str) -> None:
    codec = sound.subtype or ""
    if sound.format not in _CONTAINERS or not codec.startswith(_CODECS):
        raise FormatError(f"{sound.format} with {codec} is not read", where=where, fix="ffmpeg -i INPUT output.wav")


def _check_numbers(rate: int, channels: int, where: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        fix = f"between {MIN_RATE} and {MAX_RATE} Hz are read"
        raise FormatError(f"the sample rate is {rate} Hz", where=where, fix=fix)
    if not 1 <= channels <= MAX_CHANNELS:
        raise FormatError(f"{channels} channels; 1 to {MAX_CHANNELS} are read", where=where)


def _too_long(where: str, max_seconds: float) -> None:
    raise FormatError(f"longer than {max_seconds:g} s of audio", where=where, fix="cut it into parts")


def _gather(blocks: Iterator[np.ndarray], n_expected: int) -> np.ndarray:
    """Return blocks as one array, in place where their length is known, so that they are not in memory twice."""
    audio, end = np.empty(n_expected, np.float32), 0
    for block in blocks:
        if end + len(block) > len(audio):
            audio.resize(max(end + len(block), end * 5 // 4), refcheck=False)
        audio[end : end + len(block)] = block
        end += len(block)
    audio.resize(end, refcheck=False)
    return audio


def _blocks(sound: Any, where: str, size: int) -> Iterator[np.ndarray]:
    """Decode block by block as mono, so that a small file cannot become a large array unseen."""
    for block in _decoded(sound, where, size, "float32"):
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _decoded(sound: Any, where: str, size: int, dtype: str) -> Iterator[np.ndarray]:
    """Yield blocks of at most `size` frames. Shapes: -> `dtype` [L, C] each. Raises: FormatError for damaged audio."""
    import soundfile

    while True:
        try:
            block = sound.read(min(size, _MAX_BLOCK // sound.channels), dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise FormatError(f"the audio is damaged ({error.error_string})", where=where) from error
        if not len(block):
            return
        if not np.isfinite(block).all():
            raise FormatError("the audio contains NaN or infinity", where=where)
        yield block


def _pieces(blocks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield from (block[start : start + size] for start in range(0, len(block), size))


def _checked(blocks: Iterator[np.ndarray], where: str, rate: int, max_seconds: float) -> Iterator[np.ndarray]:
    """Pass blocks on until there are too many: what a file tells of its length may be wrong."""
    n_remaining = int(max_seconds * rate)
    for block in blocks:
        n_remaining -= len(block)
        if n_remaining < 0:
            _too_long(where, max_seconds)
        yield block


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


def _check_written(path: Path, sample_rate: int, samples: int, format: str, destination: Path) -> None:
    import soundfile

    container, codec = ENCODINGS[format]
    expected_rate = encoded_rate(sample_rate, format)
    headerless = {"samplerate": sample_rate, "channels": 1, "subtype": codec, "format": container}
    try:
        with soundfile.SoundFile(path, **(headerless if format == "raw" else {})) as sound:
            frames, rate, found = sound.frames, sound.samplerate, sound.format
    except soundfile.LibsndfileError as error:
        raise CheckError(f"the written file does not read back: {error}", where=destination) from error
    # MP3 is made of blocks of 1152 samples: the encoder pads the end. A resampler rounds the length.
    extra = frames - samples * expected_rate / sample_rate
    same_length = extra == 0 or (format == "mp3" and 0 <= extra < 4 * 1152) or (format == "opus" and abs(extra) <= 2)
    if found != container or rate != expected_rate or not same_length:
        what = f"wrote {samples} samples at {sample_rate} Hz, read back {frames} at {rate} Hz"
        raise CheckError(what, where=destination)
