"""Decode what libsndfile does not know (m4a, mp4, mov, webm) through the program ffmpeg, if it is on PATH.

The file is hostile until proven otherwise: no shell, no network, no playlists that name other files, and bounds on the
time that is waited for it and on what it may write.
"""

import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import numpy as np

from ..errors import FormatError
from . import pcm

STALL_S = 60.0  # the longest wait for the next samples
WAIT_S = 900.0  # all waits together
# Containers that hold their own audio. Those that name other files (hls, concat, dash, sdp) stay out.
_CONTAINERS = (
    "mov,matroska,webm,ogg,aac,mp3,asf,avi,flv,mpegts,mpeg,amr,ac3,eac3,caf,aiff,ape,wv,tta,dsf,mxf,flac,w64,3gp"
)
ENDINGS = ("m4a", "mp4", "mov", "webm", "mkv", "aac", "wma", "amr", "3gp")


def find() -> str | None:
    """Return the path of ffmpeg, or None if it is not on PATH."""
    return shutil.which("ffmpeg")


@contextmanager
def decoded(source: str | Path | bytes, where: str, program: str) -> Iterator[tuple[int, int, Iterator[np.ndarray]]]:
    """Yield the sample rate, the number of channels, and blocks of the first audio stream, channels averaged.

    Shapes: blocks float32 [L].
    Raises: FormatError if ffmpeg cannot read it, or takes too long; while the blocks are read, too.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as messages:
        path = Path(source if isinstance(source, str | Path) else folder)
        if isinstance(source, bytes):
            path /= "audio"
            path.write_bytes(source)
        command = [program, "-nostdin", "-hide_banner", "-v", "error", "-protocol_whitelist", "file,pipe"]
        command += ["-format_whitelist", _CONTAINERS, "-i", f"file:{path.absolute()}", "-map", "0:a:0", "-vn", "-sn"]
        command += ["-dn", "-map_metadata", "-1", "-c:a", "pcm_s16le", "-f", "wav", "pipe:1"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, start_new_session=True
        )
        try:
            assert process.stdout is not None
            pipe: Any = _Pipe(process.stdout.fileno(), where)
            head = pcm.read_bytes(pipe, 4)
            if head != b"RIFF":
                _end(process, messages, where, head)
            rate, channels = pcm.read_header(pipe, f"{where}, as ffmpeg decodes it,")
            yield rate, channels, _blocks(pipe, channels, process, messages, where)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]  it is a pipe


def _blocks(
    pipe: Any, channels: int, process: "subprocess.Popen[bytes]", messages: BinaryIO, where: str
) -> Iterator[np.ndarray]:
    yield from pcm.read_samples(pipe, b"", channels)
    _end(process, messages, where)


def _end(process: "subprocess.Popen[bytes]", messages: BinaryIO, where: str, head: bytes | None = None) -> None:
    """Check how ffmpeg ended. head: what it wrote instead of a WAV file.

    Raises: FormatError unless it ended well.
    """
    try:
        code = process.wait(timeout=10 if not head else 0)
    except subprocess.TimeoutExpired:
        code = None
    if code == 0 and head is None:
        return
    size = messages.seek(0, os.SEEK_END)
    messages.seek(max(0, size - 2000))
    lines = messages.read().decode(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix(where).strip(": ")[:200] if lines else f"it ended with code {code}"
    raise FormatError(f"not audio that ffmpeg can read ({reason})", where=where, fix="give an intact audio file")


class _Pipe:
    """The output of ffmpeg, with a bound on the time that is waited for it."""

    def __init__(self, descriptor: int, where: str) -> None:
        self._descriptor, self._where = descriptor, where
        self._left_s = WAIT_S

    def read(self, count: int) -> bytes:
        start = monotonic()
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, min(STALL_S, self._left_s)))
        self._left_s -= monotonic() - start
        if not ready:
            raise FormatError("ffmpeg takes too long to decode it", where=self._where, fix="convert it to WAV first")
        return os.read(self._descriptor, count)

    read1 = read
