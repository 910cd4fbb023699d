"""Audio files: what is written reads back; what is malformed is one error; a broken write leaves nothing."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pytorch_to_mlx.audio.encoder import StreamEncoder
from pytorch_to_mlx.audio.wav import FORMATS, format_of, read, write, writer
from pytorch_to_mlx.errors import CheckError, FormatError, MachineError, UsageError


def tone(seconds=0.5, rate=24_000, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def wav_bytes(*, channels=1, rate=16_000, bits=16, code=1, data=b"\0\0" * 100, length=None, align=None):
    align = channels * bits // 8 % 65536 if align is None else align
    fmt = struct.pack("<HHIIHH", code, channels, rate, min(rate * align, 2**32 - 1), align, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", length or len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("format", FORMATS)
def test_written_audio_reads_back(tmp_path, format):
    path = tmp_path / f"tone.{format}"
    write(path, tone(), 24_000)
    audio, rate = read(path)
    assert rate == 24_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if format in ("wav", "flac"):
        np.testing.assert_allclose(audio, tone(), atol=1 / 32768)
    else:
        audio = audio[: len(tone())]
        assert 10 * np.log10(np.sum(tone() ** 2) / np.sum((audio - tone()) ** 2)) > 15


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_opus_takes_every_rate_in_pieces(tmp_path, rate):
    """Opus itself knows five rates (RFC 6716, 2.1.3)."""
    with writer(tmp_path / "tone.opus", rate) as output:
        for part in np.array_split(tone(rate=rate), 7):
            output.write(part)
    audio, read_rate = read(tmp_path / "tone.opus")
    assert read_rate == (rate if rate in (8_000, 48_000) else 48_000)
    want = tone(rate=read_rate)
    assert abs(len(audio) - len(tone(rate=rate)) * read_rate / rate) < 1
    stream = StreamEncoder(rate, "opus")
    data = b"".join([*map(stream.encode, np.array_split(tone(rate=rate), 7)), stream.finish()])
    np.testing.assert_array_equal(read(data)[0], audio)
    inner = slice(read_rate // 50, len(want) - read_rate // 50)
    assert 10 * np.log10(np.sum(want[inner] ** 2) / np.sum((audio[inner] - want[inner]) ** 2)) > 15


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_same_audio_same_bytes(tmp_path, format):
    contents = [write(tmp_path / f"{i}.{format}", tone(), 24_000).read_bytes() for i in range(2)]
    assert contents[0] == contents[1]


def test_pieces_are_the_whole(tmp_path):
    with writer(tmp_path / "pieces.wav", 24_000) as output:
        for part in np.array_split(tone(), 7):
            output.write(part)
    assert (tmp_path / "pieces.wav").read_bytes() == write(tmp_path / "whole.wav", tone(), 24_000).read_bytes()


def test_loud_audio_is_clipped_not_wrapped(tmp_path):
    audio, _ = read(write(tmp_path / "loud.wav", np.array([2.0, -2.0, 0.0]), 24_000))
    np.testing.assert_allclose(audio, [1, -1, 0], atol=1e-4)


def test_no_audio_is_a_file_of_no_samples(tmp_path):
    assert len(read(write(tmp_path / "empty.wav", np.zeros(0), 24_000))[0]) == 0


def test_existing_file_survives_a_broken_write(tmp_path):
    path = tmp_path / "kept.wav"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), writer(path, 24_000) as output:
        output.write(tone())
        raise KeyboardInterrupt
    with pytest.raises(CheckError, match="NaN or infinity"):
        write(path, np.array([0.0, np.nan]), 24_000)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.wav"]


def test_errors_of_the_caller_are_not_ours(tmp_path):
    with pytest.raises(RuntimeError, match="theirs"), writer(tmp_path / "a.wav", 24_000):
        raise RuntimeError("theirs")


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [("a.m4a", None, "wav, flac, ogg, opus, mp3"), ("a", None, "no extension"), ("a.wav", "aac", "formats"),
     ("missing/a.wav", None, "folder does not exist")],
)  # fmt: skip
def test_wrong_use(tmp_path, name, format, message):
    with pytest.raises(UsageError, match=message):
        write(tmp_path / name, tone(), 24_000, format=format)


def test_the_format_may_be_named(tmp_path):
    assert format_of("speech.bin", "FLAC") == "flac"
    assert soundfile.info(write(tmp_path / "speech.bin", tone(), 24_000, format="flac")).format == "FLAC"


def test_full_disk(tmp_path):
    code = """
import resource, signal, sys, numpy as np
from pytorch_to_mlx.audio.wav import write
from pytorch_to_mlx.errors import MachineError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write(sys.argv[1], np.random.default_rng(0).uniform(-1, 1, 200_000), 24_000)
except MachineError as error:
    sys.exit(f"{error.exit_code} {error}")
"""
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert done.stderr.startswith("6 ") and len(done.stderr.splitlines()) == 1, (name, done.stderr)
        assert not list(tmp_path.iterdir())


def test_unwritable_folder(tmp_path):
    if os.geteuid() == 0:
        folder = "/proc"  # root may write anywhere else
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
    with pytest.raises(MachineError, match="writing failed"):
        write(f"{folder}/a.wav", tone(), 24_000)


MALFORMED = {
    "nothing": b"",
    "text": b"hello, this is text",
    "html": b"<!doctype html><html></html>",
    "riff only": b"RIFF",
    "header cut": wav_bytes()[:30],
    "no channels": wav_bytes(channels=0),
    "65535 channels": wav_bytes(channels=65535),
    "rate 0": wav_bytes(rate=0),
    "rate 1": wav_bytes(rate=1),
    "rate 2**31": wav_bytes(rate=2**31),
    "bits 0": wav_bytes(bits=0, align=2),
    "unknown codec": wav_bytes(code=0x1234),
    "IMA ADPCM": wav_bytes(code=0x11, bits=4, align=256, data=b"\0" * 512),
    "4 GB declared": wav_bytes(length=2**32 - 2),
    "cut": wav_bytes(data=b"\0\0" * 100)[:-50],
    "NaN": wav_bytes(code=3, bits=32, data=struct.pack("<3f", 0, float("nan"), 1)),
    "infinity": wav_bytes(code=3, bits=32, data=struct.pack("<3f", 0, float("inf"), 1)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_audio_is_one_error(tmp_path, name):
    path = tmp_path / "$(x);-bad\u202e.wav"
    path.write_bytes(MALFORMED[name])
    for source in (path, MALFORMED[name]):
        with pytest.raises(FormatError) as caught:
            read(source)
        assert "\n" not in str(caught.value)


def test_a_streamed_wav_of_unknown_length_is_read():
    data = (tone() * 32767).astype("<i2").tobytes()
    header = bytearray(wav_bytes(data=data, rate=24_000))
    header[40:44] = struct.pack("<I", 0xFFFFFFFF)
    audio, _ = read(bytes(header))
    assert len(audio) == len(tone())


def test_stereo_is_averaged_and_bit_depths_agree(tmp_path):
    for subtype, error in [("PCM_U8", 1 / 100), ("PCM_24", 1e-6), ("FLOAT", 0), ("ULAW", 0.02)]:
        path = tmp_path / f"{subtype}.wav"
        soundfile.write(path, np.stack([tone(), tone() / 2], axis=1), 48_000, subtype=subtype)
        audio, rate = read(path)
        assert rate == 48_000
        np.testing.assert_allclose(audio, tone() * 0.75, atol=error)


def test_the_content_counts_not_the_name(tmp_path):
    soundfile.write(tmp_path / "x.flac", tone(), 24_000)
    (tmp_path / "x.flac").rename(tmp_path / "x.wav")
    assert len(read(tmp_path / "x.wav")[0]) == len(tone())


def test_a_small_file_of_hours_is_refused_before_it_is_decoded(tmp_path):
    soundfile.write(tmp_path / "silence.flac", np.zeros(16_000 * 120), 16_000)
    with pytest.raises(FormatError, match="longer than 60 s"):
        read(tmp_path / "silence.flac", max_seconds=60)


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path, error in [("pipe.wav", FormatError), (".", FormatError), ("none.wav", UsageError), ("a\0b", UsageError)]:
        with pytest.raises(error):
            read(f"{tmp_path}/{path}")
