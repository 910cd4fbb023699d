"""CosyVoice 1 from the command line, every mode with real speech: a tiny release, and behind `-m full` full-size ones.

The weights are random, so that speech never ends by itself: its length is what the limits for the text allow.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import ROOT
from models.cosyvoice import release_version1
from models.cosyvoice.spoken import family_cli, spoken
from models.cosyvoice.test_commands import LONG, OTHERS, PROMPT, SAID

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.models.cosyvoice.config import Config1
from pytorch_to_mlx.models.cosyvoice.text.whisper_tokenizer import WhisperTokenizer

RATE, FRAME = 22050, 256  # Hz, samples
TEXT = "<|en|>one for you."


@dataclass(frozen=True)
class Place:
    """A release's sizes, its converted folder, and where to write to."""

    config: Config1
    model: Path
    folder: Path


cli = partial(family_cli, "cosyvoice")


SIZES = [
    pytest.param((True, 50), id="tiny"),
    pytest.param((False, 50), id="full, 50 Hz", marks=pytest.mark.full),
    pytest.param((False, 25), id="full, 25 Hz", marks=pytest.mark.full),
]


@pytest.fixture(scope="module", params=SIZES)
def place(request, tmp_path_factory):
    folder, config = tmp_path_factory.mktemp("place"), release_version1.config_of(*request.param)
    original = release_version1.write_release(folder / "release", config)
    cli("convert", "--hf-path", original, "--mlx-path", folder / "mlx", "--dtype", "float16")
    return Place(config, folder / "mlx", folder)


def say(place, *options, stdin="", verb=("synthesize",)) -> tuple[np.ndarray, dict]:
    """The samples of the WAV file, after a look at it, and what was reported."""
    output = place.folder / "out.wav"
    samples, report = spoken(cli, place.model, output, RATE, verb, options, stdin)
    assert len(samples) % FRAME == 0
    return samples, report


def assert_length(place, samples, text=TEXT):
    """2 to 20 speech tokens for a text token; a stream rounds windows and overlaps down to whole frames."""
    sizes = place.config.lm.vocab_size, place.config.lm.num_languages
    words, frames = len(WhisperTokenizer(*sizes).encode(text)), place.config.flow.frames
    assert frames(2 * words) - 3 <= len(samples) / FRAME <= frames(20 * words) + 3


MODES = {
    "sft": ["--speaker", "中文女"],
    "zero-shot": ["--ref-audio", PROMPT, "--ref-text", SAID],
    "cross-lingual": ["--ref-audio", OTHERS[0]],
    "instruct": ["--speaker", "英文男", "--instruct", "Speak slowly."],
    "instruct, a recording's voice": ["--ref-audio", OTHERS[1], "--instruct", "Speak slowly."],
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(place, mode):
    samples, report = say(place, "--text", TEXT, *MODES[mode])
    assert_length(place, samples)
    assert report["mode"] == mode.partition(",")[0]


@pytest.mark.parametrize(
    "mode",
    ["zero-shot", *(pytest.param(mode, marks=pytest.mark.full) for mode in ("sft", "cross-lingual", "instruct"))],
)
def test_streams(place, mode):
    samples, report = say(place, "--text", TEXT, *MODES[mode], "--stream", "--steps", "4")
    assert_length(place, samples)
    assert {"text", "language_model"} < report["first_audio_parts"].keys()


def test_lines_on_stdin_are_spoken_as_they_come(place):
    samples, _ = say(place, "--text", "-", *MODES["sft"], "--stream", stdin="one\nand you\n")
    assert len(samples)


@pytest.mark.full
def test_speed(place):
    normal, _ = say(place, "--text", TEXT, *MODES["sft"])
    samples, _ = say(place, "--text", TEXT, *MODES["sft"], "--speed", "2")
    assert len(samples) == pytest.approx(len(normal) / 2, abs=FRAME)


def test_speakers_are_added_used_and_removed(place):
    model = ["--model", place.model]
    names = sorted(release_version1.SPEAKERS)
    fresh, _ = say(place, "--text", TEXT, *MODES["zero-shot"])
    cli("speakers", *model, "--add", "me", "--ref-audio", PROMPT, "--ref-text", SAID)
    listed = {row["speaker"]: row["transcript"] for row in json.loads(cli("speakers", *model, "--json"))}
    assert listed == {"me": True, **dict.fromkeys(names, False)}
    again, _ = say(place, "--text", TEXT, "--speaker", "me", "--mode", "zero-shot")
    np.testing.assert_array_equal(again, fresh)
    cli("speakers", *model, "--remove", "me")
    assert [row["speaker"] for row in json.loads(cli("speakers", *model, "--json"))] == names
    cli("synthesize", *model, "--text", TEXT, "--speaker", "me", fails=2)


@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
def test_voice_conversion(place, options):
    """Of more than one window; in a stream each window is rounded down to whole frames."""
    speech = np.concatenate([wav.read(path)[0] for path in (*OTHERS, PROMPT)])[: 16 * 16000]
    source = place.folder / "source.wav"
    wav.write(source, speech, 16000)
    samples, report = say(place, source, "--ref-audio", PROMPT, *options, verb=("convert-voice",))
    tokens = -(-len(speech) // 160 // 2) // (2 if place.config.flow.token_rate == 25 else 1)
    assert 0 <= place.config.flow.frames(tokens) - len(samples) / FRAME <= 8 and report["mode"] == "voice conversion"


@pytest.mark.full
def test_memory_does_not_grow_with_the_text(place):
    """Ten minutes of speech, as dense as real speech, take no more than the first two."""
    code = LONG.replace("6.0", str(12.0 * place.config.flow.token_rate / 50))
    done = subprocess.run([sys.executable, "-c", code, str(place.model)], cwd=ROOT, capture_output=True, check=True)
    peaks = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert peaks[-1][0] > 540
    assert peaks[-1][1] < 1.1 * max(peak for seconds, peak in peaks if seconds < 120), peaks
