"""Encode audio into any file that takes bytes, one that cannot seek included: libsndfile writes, this passes it on."""

import os
from typing import Any

import numpy as np

# The audio files that are read and written, by extension: libsndfile's format and subtype.
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# What is written: raw is 16-bit little-endian samples without a header.
ENCODINGS = {**FORMATS, "raw": ("RAW", "PCM_16")}
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_WAV_HEADER = 44  # bytes; the sizes of the file and of the samples stand at 4 and at 40
_UNKNOWN = b"\xff" * 4


class Encoder:
    """Audio on its way into an open file. seekable: its header is corrected at the end, or else tells no length.

    n_samples: how many were passed on. whole: whether the last write and all before it were.
    """

    def __init__(self, descriptor: int, sample_rate: int, format: str, *, seekable: bool) -> None:
        self.n_samples = 0
        self.whole = True
        self._descriptor, self._format, self._seekable = descriptor, format, seekable
        self._pending = _Pending()
        self._length = 0  # bytes that were passed on whole
        self._sound = _open_sound(self._pending, sample_rate, format, seekable=seekable)

    def write(self, audio: np.ndarray) -> None:
        """Encode audio and pass on what is ready. Shapes: audio float [L] in [-1, 1].

        Raises: OSError if the file does not take it; `cut` then leaves what was passed on before.
        """
        self.whole = False
        self._sound.write(audio)
        self._pass_on()
        self.n_samples += len(audio)
        self.whole = True

    def finish(self) -> None:
        """Pass on the end, and correct the header where the file can seek. Raises: OSError."""
        self.whole = False
        self._sound.close()
        self._pass_on()
        self.whole = True

    def cut(self) -> None:
        """End a file after the last audio that it took whole: it stays playable. Raises: OSError."""
        os.ftruncate(self._descriptor, self._length)
        if self._format == "wav":
            for position, size in ((4, self._length - 8), (40, self._length - _WAV_HEADER)):
                _write_at(self._descriptor, size.to_bytes(4, "little"), position)
        elif self._format == "flac":  # whole blocks were passed on; their size stands in the header
            block_size = int.from_bytes(os.pread(self._descriptor, 2, 10), "big")
            kept = self.n_samples // block_size * block_size
            first = os.pread(self._descriptor, 1, 21)[0] & 0xF0
            _write_at(self._descriptor, bytes([first | kept >> 32]) + (kept & 0xFFFFFFFF).to_bytes(4, "big"), 21)
        elif self._format == "mp3":  # the encoder knows the number of frames, which stands in the first one
            self._sound.close()
            for position, data in self._pending.take():
                if position == 0:
                    _write_at(self._descriptor, data, 0)

    def close(self) -> None:
        """Let libsndfile go; what it still wants to write is dropped."""
        self._sound.close()

    def _pass_on(self) -> None:
        for position, data in self._pending.take():
            if self._seekable:
                _write_at(self._descriptor, data, position)
            elif position >= self._length:
                _write_all(self._descriptor, _without_length(self._format, position, data))
                self._length = position + len(data)
        self._length = self._pending.length


class StreamEncoder:
    """Audio as the bytes of a stream, in a format of ENCODINGS; each call returns what is ready."""

    def __init__(self, sample_rate: int, format: str) -> None:
        self._format, self._pending = format, _Pending()
        self._n_bytes = 0
        self._sound = _open_sound(self._pending, sample_rate, format, seekable=False)

    def encode(self, audio: np.ndarray) -> bytes:
        """Return the bytes that more audio makes ready. Shapes: audio float [L] in [-1, 1]."""
        self._sound.write(audio)
        return self._ready()

    def finish(self) -> bytes:
        """Return the bytes of the end."""
        self._sound.close()
        return self._ready()

    def _ready(self) -> bytes:
        parts = []
        for position, data in self._pending.take():
            if position >= self._n_bytes:  # what is before corrects the header
                parts.append(_without_length(self._format, position, data))
                self._n_bytes = position + len(data)
        return b"".join(parts)


def encoded_rate(sample_rate: int, format: str) -> int:
    """Return the sample rate in a file of audio at sample_rate: Opus knows five, and takes others at 48 kHz."""
    return sample_rate if format != "opus" or sample_rate in _OPUS_RATES else 48_000


def _open_sound(pending: Any, sample_rate: int, format: str, *, seekable: bool) -> Any:
    import soundfile

    container, codec = ENCODINGS[format]
    options: dict[str, Any] = {"format": container, "endian": "LITTLE" if format == "raw" else None}
    if format == "mp3" and not seekable:  # readers that find no length compute it from the bit rate
        options |= {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
    rate = encoded_rate(sample_rate, format)
    sound = soundfile.SoundFile(pending, "w", rate, 1, codec, **options)
    return sound if rate == sample_rate else _Resampled(sound, sample_rate, rate)


class _Resampled:
    """A sound that is written at another rate."""

    def __init__(self, sound: Any, sample_rate: int, rate: int) -> None:
        import soxr

        self._sound = sound
        self._resampler = soxr.ResampleStream(sample_rate, rate, 1, dtype="float32", quality="HQ")

    def write(self, audio: np.ndarray) -> None:
        self._sound.write(self._resampler.resample_chunk(np.asarray(audio, np.float32)))

    def close(self) -> None:
        if not self._sound.closed:
            self._sound.write(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._sound.close()


def _without_length(format: str, position: int, data: bytes) -> bytes:
    """Return the first bytes of a stream as they are when nobody knows its length."""
    if format == "wav" and position == 0:
        return data[:4] + _UNKNOWN + data[8:40] + _UNKNOWN + data[44:]
    if format == "mp3" and position == 0:
        return b""  # the frame with the length, which players would believe
    return data


def _write_at(descriptor: int, data: bytes, position: int) -> None:
    while data:
        n_bytes = os.pwrite(descriptor, data, position)
        data, position = data[n_bytes:], position + n_bytes


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class _Pending:
    """The file that libsndfile sees: it keeps what is written until it is taken."""

    def __init__(self) -> None:
        self.length = 0
        self._position = 0
        self._writes: list[tuple[int, bytes]] = []

    def take(self) -> list[tuple[int, bytes]]:
        """Return what was written since the last call, with its positions."""
        writes, self._writes = self._writes, []
        return writes

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._writes.append((self._position, data))
        self._position += len(data)
        self.length = max(self.length, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = (0, self._position, self.length)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position
