"""Faults E (bad audio), for what hears: Whisper and Silero VAD. One clear error, or defined output; never a NaN."""

import io
import json
import struct

import numpy as np
import pytest
import soundfile
from command import run

from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.model_source import load

RATE = 16000


@pytest.fixture(scope="module")
def hearers():
    """Name -> a function of audio, with all its numbers and its text as the result."""
    whisper, vad = load("packaged:whisper-tiny.en"), load(family="vad")

    def transcribe(audio):
        found = whisper.transcribe(audio, temperature=0.0, word_timestamps=True)
        numbers = [[s.start_s, s.end_s, s.avg_logprob, s.no_speech_prob, s.compression_ratio] for s in found.segments]
        numbers += [[w.start_s, w.end_s, w.probability] for s in found.segments for w in s.words]
        return [number for row in numbers for number in row], found.text

    def detect(audio):
        found = vad.detect(audio)
        return [x for s in found.segments for x in (s.start_s, s.end_s)] + found.probabilities.tolist(), ""

    return {"whisper": transcribe, "vad": detect}


def wav(samples=b"", *, code=1, channels=1, rate=RATE, bits=16, align=None, declared=None):
    align = channels * bits // 8 if align is None else align
    head = struct.pack("<HHIIHH", code, channels, rate, rate * align % 2**32, align, bits)
    length = len(samples) if declared is None else declared
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", length) + samples
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def encoded(samples, rate=RATE, format="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=format)
    return file.getvalue()


PCM = (speech()[:8000] * 32767).astype("<i2").tobytes()
REFUSED = {
    "65 nothing": b"",
    "65 text": b"what is this",
    "65 HTML": b"<!doctype html><p>not found",
    "65 RIFF only": b"RIFF",
    "65 header cut": wav(PCM)[:30],
    "66 no channels": wav(PCM, channels=0),
    "66 65,535 channels": wav(PCM, channels=65535, align=2),
    "66 rate 0": wav(PCM, rate=0),
    "66 rate 2^31": wav(PCM, rate=2**31),
    "66 bits 0": wav(PCM, bits=0, align=2),
    "66 unknown format": wav(PCM, code=0x7777),
    "68 1 Hz": wav(PCM, rate=1),
    "69 4 GB declared": wav(PCM[:3000], declared=2**32 - 2),
    "69 cut": wav(PCM)[:-1000],
    "70 NaN": wav(struct.pack("<3f", 0, float("nan"), 0.5), code=3, bits=32),
    "70 infinity": wav(struct.pack("<3f", 0, float("-inf"), 0.5), code=3, bits=32),
    "72 IMA ADPCM": wav(b"\x7f" * 1024, code=0x11, bits=4, align=256),
}
NOISE = np.random.default_rng(1).standard_normal(3 * RATE).astype(np.float32)
TIME = np.arange(2 * RATE) / RATE
DEFINED = {
    "67 no samples": encoded(np.zeros(0)),
    "73 clipping": encoded(np.clip(20 * speech(), -1, 1)),
    "73 DC": encoded(np.full(2 * RATE, 0.9)),
    "73 silence": encoded(np.zeros(35 * RATE)),
    "73 one sample": encoded(np.array([0.5])),
    "73 10 ms": encoded(0.3 * np.sin(2 * np.pi * 300 * TIME[:160])),
    "73 40 Hz only": encoded(0.8 * np.sin(2 * np.pi * 40 * TIME)),
    "73 noise": encoded(np.clip(0.3 * NOISE, -1, 1)),
    "73 speech under noise": encoded(np.clip(speech() + 0.1 * np.resize(NOISE, len(speech())), -1, 1)),
    "73 opposite channels": encoded(np.stack([speech(), -speech()], axis=1)),
}
SAID = {
    "73 stereo": encoded(np.stack([speech()] * 2, axis=1)),
    "73 24 bits": encoded(speech(), subtype="PCM_24"),
    "73 8 bits": encoded(speech(), subtype="PCM_U8"),
    "73 44.1 kHz": encoded(
        np.interp(np.arange(0, len(speech()), RATE / 44100), np.arange(len(speech())), speech()), 44100
    ),
    "74 Ogg named .wav": encoded(speech(), format="OGG", subtype="VORBIS"),
}


@pytest.mark.parametrize("hearer", ["whisper", "vad"])
@pytest.mark.parametrize("fault", REFUSED)
def test_refused_in_one_line(hearers, hearer, fault):
    with pytest.raises(FormatError) as caught:
        hearers[hearer](REFUSED[fault])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hearer", ["whisper", "vad"])
@pytest.mark.parametrize("sound", DEFINED)
def test_defined_output(hearers, hearer, sound):
    numbers, text = hearers[hearer](DEFINED[sound])
    assert np.isfinite(np.array(numbers)).all()
    if sound in ("67 no samples", "73 one sample"):  # of longer silence Whisper may say "You", here and in PyTorch
        assert text == ""


@pytest.mark.parametrize("sound", SAID)
def test_what_is_said_is_heard(hearers, sound):
    assert "forward" in hearers["whisper"](SAID[sound])[1]
    assert len(hearers["vad"](SAID[sound])[0]) > 50


def test_71_hours_in_a_small_file_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "day.flac"
    with soundfile.SoundFile(path, "w", 4000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(7):
            file.write(np.zeros(3600 * 4000, np.int16))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(FormatError, match="longer than"):
        load(family="vad").detect(path)


def test_74_names_are_names(tmp_path):
    """A name is neither a command nor an option."""
    path = tmp_path / "-n;$(touch x)\u202e.wav"
    path.write_bytes(SAID["74 Ogg named .wav"])
    done = run("vad", "detect", "--json", "--", path.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)[0]["audio"] == path.name and not (tmp_path / "x").exists()
    broken = tmp_path / "broken.wav"
    broken.write_bytes(REFUSED["69 cut"])
    for command in (["vad", "detect"], ["whisper", "transcribe", "--model", "packaged:whisper-tiny.en"]):
        done = run(*command, str(broken))
        assert done.returncode == 4 and done.stderr.decode().strip().splitlines()[-1].startswith("error: "), done.stderr
        assert run(*command, str(tmp_path / "none.wav")).returncode == 2


def test_samples_must_be_numbers_in_a_row(hearers):
    for wrong in (np.zeros((2, 10)), np.array([0.1, np.inf]), np.float32(0.5)):
        for hear in hearers.values():
            with pytest.raises((FormatError, UsageError)):
                hear(wrong)
