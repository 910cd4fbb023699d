"""What libsndfile does not know is decoded by ffmpeg, within bounds; without it the message says so.

The stand-in writes a WAV file of known samples, as `ffmpeg -f wav pipe:1` does. What is right of the real one are the
samples that were given to it: the file is made by it, and AAC keeps a tone to within 1 % of its power.
"""

import os
import shutil
import stat
import struct
import sys
import time

import numpy as np
import pytest

from pytorch_to_mlx.audio import ffmpeg, live, wav
from pytorch_to_mlx.audio.load import load_audio
from pytorch_to_mlx.errors import FormatError

RATE = 22_050
TONE = (0.5 * np.sin(np.arange(RATE) / 20)).astype(np.float32)
M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + b"not really" * 100


def streamed_wav(audio: np.ndarray, channels: int = 1) -> bytes:
    """16-bit WAV of unknown length, with the chunk that ffmpeg puts before the samples."""
    data = np.repeat((audio * 32767).astype("<i2")[:, None], channels, axis=1).tobytes()
    fmt = struct.pack("<HHIIHH", 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    extra = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf61.1.100\0\0"
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + fmt + extra + b"data\xff\xff\xff\xff" + data


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make an ffmpeg of a few lines of Python: it sees its arguments as `args`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(code: str):
        program = folder / "ffmpeg"
        program.write_text(
            f"#!{sys.executable}\nimport sys, time\nargs = sys.argv[1:]\nout = sys.stdout.buffer\n{code}\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return make


@pytest.mark.parametrize("channels", [1, 2])
def test_every_audio_input_goes_through_it(tmp_path, stand_in, channels):
    (tmp_path / "wav").write_bytes(streamed_wav(TONE, channels))
    name = tmp_path / "a call, $(x) -y;.m4a"
    name.write_bytes(M4A)
    stand_in(
        f"""
path = args[args.index("-i") + 1]
assert path.startswith("file:/") and open(path[5:], "rb").read().startswith({M4A[:40]!r})
protocols = args.index("-protocol_whitelist")
assert args[protocols + 1] == "file,pipe" and protocols < args.index("-i")
out.write(open({str(tmp_path / "wav")!r}, "rb").read())"""
    )
    for source in (name, M4A):  # stdin comes as bytes
        audio, rate = wav.read(source)
        assert rate == RATE
        np.testing.assert_allclose(audio, TONE, atol=1e-4)
        assert len(load_audio(source, 16_000)) == 16_000
    assert sum(map(len, live.from_file(name, 16_000))) == 16_000
    with wav.reader(name, block_s=0.1) as (_, blocks):
        assert max(map(len, blocks)) == RATE // 10


def test_without_it_the_message_says_that_it_would_do_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for source in (M4A, b"\x1a\x45\xdf\xa3webm" * 20):
        with pytest.raises(FormatError, match=r"with ffmpeg installed .* m4a, mp4, mov and webm"):
            wav.read(source)


BAD = {
    "no audio": ("sys.stderr.write('Stream map matches no streams.\\n'); sys.exit(1)", "matches no streams"),
    "silent failure": ("sys.exit(3)", "code 3"),
    "nothing": ("", "code 0"),
    "other output": ("out.write(b'hello' * 100)", "ffmpeg can read"),
    "fails at the end": (f"out.write({streamed_wav(TONE[:100])!r}); out.flush(); sys.exit(1)", "code 1"),
    "no end": (f"out.write({streamed_wav(TONE[:2])!r})\nwhile True: out.write(bytes(1 << 20))", "longer than 6"),
    "a wrong header": ("out.write(b'RIFF' + bytes(1000))", "not WAV"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_it_cannot_decode_is_one_error(stand_in, name):
    code, message = BAD[name]
    stand_in(code)
    with pytest.raises(FormatError, match=message) as caught:
        wav.read(M4A, max_seconds=60)
    assert "\n" not in str(caught.value)


def test_it_may_not_take_for_ever(stand_in, monkeypatch):
    monkeypatch.setattr(ffmpeg, "STALL_S", 0.5)
    stand_in("time.sleep(100)")
    start = time.monotonic()
    with pytest.raises(FormatError, match="takes too long"):
        wav.read(M4A)
    assert time.monotonic() - start < 20


def test_damaged_files_of_known_formats_are_not_given_to_it(tmp_path, stand_in):
    stand_in(f"open({str(tmp_path / 'called')!r}, 'w')")
    for data in (b"RIFF", b"RIFF\0\0\0\0WAVEjunk", b"fLaC" + bytes(100), b""):
        with pytest.raises(FormatError):
            wav.read(data)
    assert not (tmp_path / "called").exists()


@pytest.fixture(scope="module")
def real():
    """The real ffmpeg: the one on PATH, or the one of the package imageio-ffmpeg."""
    program = shutil.which("ffmpeg")
    if program is None:
        package = pytest.importorskip("imageio_ffmpeg", reason="neither ffmpeg nor imageio-ffmpeg is installed")
        program = package.get_ffmpeg_exe()
    return program


@pytest.mark.parametrize("ending", ["m4a", "mp4", "mov", "webm", "opus", "mkv", "aac"])
def test_the_real_one(tmp_path, real, monkeypatch, ending):
    import subprocess

    wav.write(tmp_path / "a.wav", np.tile(TONE, 3), RATE)
    target = tmp_path / f"a.{ending}"
    command = [real, "-v", "error", "-i", tmp_path / "a.wav", "-ar", "48000", target]
    if ending == "webm":
        command[-1:-1] = ["-c:a", "libopus"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this ffmpeg does not write {ending}: {made.stderr[:100]}")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(real)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for source in (target, target.read_bytes()):
        audio, rate = wav.read(source)
        assert rate == 48_000 and abs(len(audio) - 3 * 48_000) < 5000
        middle = audio[48_000:96_000]
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_the_real_one_reads_no_playlist(tmp_path, real, monkeypatch):
    """A playlist that names another file must not become a way to read it."""
    wav.write(tmp_path / "secret.wav", TONE, RATE)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(real)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n"
    for text in (hls, "ffconcat version 1.0\nfile secret.wav\n"):
        (tmp_path / "list.m4a").write_text(text)
        with pytest.raises(FormatError):
            wav.read(tmp_path / "list.m4a")


def test_no_process_stays_when_the_reader_stops_early(tmp_path, stand_in):
    stand_in(
        f"""import os
open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
out.write({streamed_wav(TONE[:2])!r})
while True: out.write(bytes(1 << 20)); out.flush()"""
    )
    with wav.reader(M4A) as (_, blocks):
        next(blocks)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
