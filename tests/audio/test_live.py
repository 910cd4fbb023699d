"""Audio in blocks is the audio in one piece, wherever it comes from; what is not there is one clear error."""

import io
import sys
import types

import numpy as np
import pytest

from pytorch_to_mlx.audio import live, wav
from pytorch_to_mlx.audio.resample import resample
from pytorch_to_mlx.errors import FormatError, MachineError, MissingExtraError, UsageError
from pytorch_to_mlx.progress import listening

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)


@pytest.fixture
def recording(tmp_path):
    return wav.write(tmp_path / "noise.wav", NOISE, 22_050)


def test_file_in_blocks_is_the_whole(recording):
    blocks = list(live.from_file(recording, 22_050, block_s=0.1))
    assert max(map(len, blocks)) == 2205
    np.testing.assert_array_equal(np.concatenate(blocks), wav.read(recording)[0])


def test_resampled_in_blocks_is_resampled_whole(recording):
    whole = resample(wav.read(recording)[0], 22_050, 16_000)
    blocks = np.concatenate(list(live.from_file(recording, 16_000, block_s=0.07)))
    assert len(blocks) == len(whole)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_raw_numbers_from_a_pipe():
    class Pipe(io.BytesIO):
        def read1(self, size):
            return super().read(333)  # an odd number of bytes: samples are cut in two

    pcm = (NOISE * 32768).astype("<i2")
    blocks = list(live.from_stdin(16_000, stream=Pipe(pcm.tobytes() + b"x")))
    assert len(blocks) > 100
    np.testing.assert_array_equal(np.concatenate(blocks) * 32768, pcm)
    slower = np.concatenate(list(live.from_stdin(16_000, raw_rate=8_000, stream=Pipe(pcm.tobytes()))))
    assert len(slower) == 2 * len(pcm)


def test_raw_faults(monkeypatch):
    for head in (b"RIFF....WAVE", b"RIFF....AVI ", b"fLaC", b"OggS", b"RIFF....WAVEfmt " + b"\xff" * 40):
        with pytest.raises(FormatError):
            list(live.from_stdin(16_000, stream=io.BytesIO(head)))
    with pytest.raises(UsageError, match="1 Hz"):
        live.from_stdin(16_000, raw_rate=1)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="closed"):
        live.from_stdin(16_000)


@pytest.mark.parametrize("channels", [1, 2])
def test_wav_from_a_pipe(tmp_path, channels):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.stack([NOISE] * channels, axis=1), 22_050, "PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    blocks = np.concatenate(list(live.from_stdin(22_050, stream=io.BytesIO(whole))))
    np.testing.assert_allclose(blocks, wav.read(tmp_path / "a.wav")[0], atol=1e-7)
    wide = whole.replace((16).to_bytes(2, "little") + b"data", (24).to_bytes(2, "little") + b"data")
    with pytest.raises(FormatError, match="24 bits"):
        live.from_stdin(22_050, stream=io.BytesIO(wide))


def test_reading_ahead_loses_nothing_and_passes_errors_on():
    def blocks():
        for start in range(0, len(NOISE), 100):
            yield NOISE[start : start + 100]

    np.testing.assert_array_equal(np.concatenate(list(live.prefetch(blocks()))), NOISE)

    def broken():
        yield NOISE[:10]
        raise MachineError("the microphone is gone")

    with pytest.raises(MachineError, match="gone"):
        list(live.prefetch(broken()))


def test_nan_in_a_later_block(tmp_path):
    import soundfile

    audio = np.zeros(16_000, np.float32)
    audio[12_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", audio, 16_000, "FLOAT")
    blocks = live.from_file(tmp_path / "nan.wav", 16_000, block_s=0.5)
    assert len(next(blocks)) == 8_000
    with pytest.raises(FormatError, match="NaN"):
        next(blocks)


def device(monkeypatch, fault=None):
    class PortAudioError(Exception):
        pass

    class InputStream:
        def __init__(self, **options):
            assert options == {"samplerate": 16_000, "channels": 1, "dtype": "float32", "device": None}
            if fault:
                raise PortAudioError(fault)
            self.at = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, size):
            self.at += size
            return NOISE[self.at - size : self.at, None], False

    module = types.SimpleNamespace(InputStream=InputStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_microphone(monkeypatch):
    device(monkeypatch)
    blocks = live.from_microphone(16_000)
    np.testing.assert_array_equal(np.concatenate([next(blocks), next(blocks)]), NOISE[:2560])


def test_no_microphone(monkeypatch):
    device(monkeypatch, "Error querying device -1")
    with pytest.raises(MachineError, match="querying device"):
        next(live.from_microphone(16_000))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match="listen"):
        next(live.from_microphone(16_000))


@pytest.mark.parametrize(
    ("audio", "raw", "microphone", "kind"),
    [
        (["a.wav"], False, False, "files"),
        (["a.wav", "b.wav"], False, False, "files"),
        (["-"], False, False, "files"),
        ([], True, False, "raw"),
        (["-"], True, False, "raw"),
        ([], False, True, "microphone"),
        ([], False, False, None),
        ([], True, True, None),
        (["a.wav"], True, False, None),
        (["-", "-"], True, False, None),
        (["-"], False, True, None),
        (["-"], True, True, None),
    ],
)
def test_a_command_names_one_kind_of_input(audio, raw, microphone, kind):
    assert live.input_kind(audio, raw=raw, microphone=microphone) == kind


def test_devices_are_numbers_or_names():
    assert [live.parse_device(d) for d in ("3", "USB", "-1", "", None)] == [3, "USB", "-1", "", None]


class Notes:
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def track(self, items, what, total):
        yield from items


def test_ctrl_c_ends_listening_without_an_error():
    def endless():
        yield 1
        yield 2
        raise KeyboardInterrupt

    notes = Notes()
    with listening(notes):
        assert list(live.until_interrupted(endless())) == [1, 2]
        assert notes.lines == ["stopped"]
        assert list(live.until_interrupted([3])) == [3]
    assert notes.lines == ["stopped"], "an input that ends by itself was not stopped"


def test_other_errors_are_passed_on():
    def broken():
        yield 1
        raise MachineError("the microphone is gone")

    with pytest.raises(MachineError, match="gone"):
        list(live.until_interrupted(broken()))
