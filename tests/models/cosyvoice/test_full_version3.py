"""CosyVoice 3 at full size, with random weights: parity beside the original, and every mode from the command line.

The original's classes of version 3 come from checkouts of FunAudioLLM/CosyVoice and Matcha-TTS on PYTHONPATH.
"""

import json
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from command import ROOT
from command import run as run_command
from models.cosyvoice import release_version3
from models.cosyvoice.test_commands import LONG, OTHERS, PROMPT, SAID

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.models.cosyvoice.card import CARD3
from pytorch_to_mlx.models.cosyvoice.reference import Reference
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream
from pytorch_to_mlx.validate.run import run

pytestmark = pytest.mark.full
RATE, TOKEN = 24000, 960
TEXT = "one for you."
CASES = {
    "voice": ["a voice of 1.0 s", "a voice of 3.3 s"],
    "language model": ["language model, 20 words after 14", "language model, 10 words after 0"],
    "offline": ["speech of 3 s", "speech of 1 s without a prompt"],
    "stream": ["speech of 3 s as in a stream"],
}
MODES = {
    "sft": ["--speaker", "random:3"],
    "zero-shot": ["--ref-audio", PROMPT, "--ref-text", SAID],
    "cross-lingual": ["--ref-audio", OTHERS[0]],
    "instruct": ["--ref-audio", OTHERS[1], "--instruct", "Speak slowly."],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parts = ("llm", "flow", "hift")
    return release_version3.write_release(tmp_path_factory.mktemp("full3"), release_version3.FULL, parts=parts)


@pytest.mark.parametrize("kind", CASES)
def test_parity(folder, kind):
    """The 12 blocks of the tokenizer against onnxruntime; the language model; all steps of the DiT in both masks."""
    report = run(Reference.open(folder), CARD3.taps, family="cosyvoice3", source="full size", cases=CASES[kind])
    report.check()
    audio = [tap for case in report.cases for tap in case.taps if tap.name == "audio"]
    assert all(tap.max_abs <= 3.3e-4 for tap in audio) and bool(audio) == (kind in ("offline", "stream"))


def test_vocoder_in_pieces_is_the_whole(folder):
    hift, rng = Reference.open(folder).model.hift, np.random.default_rng(0)
    mel = mx.array((np.cumsum(rng.standard_normal((1, 250, 80)) * 0.2, axis=1) - 4).astype(np.float32))
    whole = hift(mel, hift.noise(0)(0, 250 * 480))
    stream = HiftStream(hift, hift.noise(0))
    pieces = [stream.feed(mel[:, start : start + 50]) for start in range(0, 250, 50)]
    np.testing.assert_allclose(np.array(mx.concatenate([*pieces, stream.finish()], 1)), np.array(whole), atol=1e-6)


def cli(*arguments: object, stdin: str = "") -> str:
    done = run_command("cosyvoice3", *map(str, arguments), input=stdin.encode(), timeout=1200)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "mlx"
    cli("convert", "--hf-path", folder, "--mlx-path", path, "--dtype", "float16")
    return path


def say(converted, output, *options, verb="synthesize", stdin=""):
    report = json.loads(cli(verb, "--model", converted, *options, "--output", output, "--json", stdin=stdin))
    samples, rate = wav.read(output)
    assert rate == report["sample_rate"] == RATE and len(samples) % TOKEN == 0
    assert np.isfinite(samples).all() and samples.std() > 1e-4
    return samples, report


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
@pytest.mark.parametrize("mode", MODES)
def test_modes(converted, tmp_path, mode, stream):
    _, report = say(converted, tmp_path / "out.wav", "--text", TEXT, *MODES[mode], *stream)
    assert report["mode"] == mode


def test_text_from_stdin(converted, tmp_path):
    say(converted, tmp_path / "out.wav", "--text", "-", *MODES["zero-shot"], "--stream", stdin="one\nfor you\n")


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
def test_voice_conversion(converted, tmp_path, stream):
    output = tmp_path / "out.wav"
    samples, _ = say(converted, output, OTHERS[1], "--ref-audio", OTHERS[0], *stream, verb="convert-voice")
    heard, rate = wav.read(OTHERS[1])
    assert len(samples) / RATE == pytest.approx(len(heard) / rate, abs=0.1)


def test_a_saved_speaker_speaks_sooner(converted, tmp_path):
    fresh, without = say(converted, tmp_path / "a.wav", "--text", TEXT, *MODES["zero-shot"], "--stream")
    cli("speakers", "--model", converted, "--add", "me", *MODES["zero-shot"])
    options = ["--text", TEXT, "--speaker", "me", "--mode", "zero-shot", "--stream"]
    saved, report = say(converted, tmp_path / "b.wav", *options)
    np.testing.assert_array_equal(saved, fresh)
    parts, all_parts = report["first_audio_parts"], without["first_audio_parts"]
    assert sum(parts.values()) <= 0.6 * sum(all_parts.values()), (parts, all_parts)


def test_memory_does_not_grow_with_the_text(converted):
    """Ten minutes of speech, as dense as real speech, take no more than the first two."""
    command = [sys.executable, "-c", LONG, str(converted)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peaks = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert peaks[-1][0] > 540
    assert peaks[-1][1] < 1.1 * max(peak for seconds, peak in peaks if seconds < 120), peaks
