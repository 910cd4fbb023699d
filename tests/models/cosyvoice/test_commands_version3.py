"""CosyVoice 3 from the command line, every mode with real speech: a tiny release, and behind `-m full` a full-size one.

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
from models.cosyvoice import release_version3
from models.cosyvoice.spoken import family_cli, spoken
from models.cosyvoice.test_commands import LONG, OTHERS, PROMPT, RATE, SAID, TEXT, TOKEN

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.models.cosyvoice.text.tokenizer import TextTokenizer
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE3


@dataclass(frozen=True)
class Place:
    """Its size, its converted folder, and where to write to."""

    size: str
    model: Path
    folder: Path


cli = partial(family_cli, "cosyvoice3")


@pytest.fixture(scope="module", params=["tiny", pytest.param("full", marks=pytest.mark.full)])
def place(request, tmp_path_factory):
    folder, sizes = tmp_path_factory.mktemp(request.param), vars(release_version3)[request.param.upper()]
    original = release_version3.write_release(folder / "release", sizes, parts=("llm", "flow", "hift"))
    cli("convert", "--hf-path", original, "--mlx-path", folder / "mlx", "--dtype", "float16")
    return Place(request.param, folder / "mlx", folder)


def say(place, *options, stdin="", verb=("synthesize",)) -> tuple[np.ndarray, dict]:
    """The samples of the WAV file, after a look at it, and what was reported."""
    output = place.folder / "out.wav"
    samples, report = spoken(cli, place.model, output, RATE, verb, options, stdin)
    assert len(samples) % TOKEN == 0
    return samples, report


def assert_length(place, samples):
    """At most 20 speech tokens for a text token; long silence is shortened."""
    words = len(TextTokenizer.open(place.model, COSYVOICE3).encode(TEXT))
    assert 0 < len(samples) / TOKEN <= 20 * words


MODES = {
    "sft": ["--speaker", "random:3"],
    "zero-shot": ["--ref-audio", PROMPT, "--ref-text", SAID],
    "cross-lingual": ["--ref-audio", OTHERS[0]],
    "instruct": ["--ref-audio", OTHERS[1], "--instruct", "Speak slowly."],
}


@pytest.mark.parametrize(
    "mode",
    ["zero-shot", "instruct", *(pytest.param(mode, marks=pytest.mark.full) for mode in ("sft", "cross-lingual"))],
)
def test_modes(place, mode):
    samples, report = say(place, "--text", TEXT, *MODES[mode])
    assert_length(place, samples)
    assert report["mode"] == mode


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.full) for mode in ("instruct", "sft", "cross-lingual")]
)
def test_streams(place, mode):
    samples, report = say(place, "--text", TEXT, *MODES[mode], "--stream")
    assert_length(place, samples)
    assert {"text", "flow_prompt", "language_model"} < report["first_audio_parts"].keys()


def test_text_that_comes_on_stdin_is_spoken_in_one_stream(place):
    say(place, "--text", "-", *MODES["zero-shot"], "--stream", stdin="one\nfor you\n")


@pytest.mark.full
def test_phonemes_in_the_text(place):
    samples, _ = say(place, "--text", "one for [Y][UW1].", *MODES["cross-lingual"])
    assert len(samples)


@pytest.mark.parametrize("options", [["--stream"], pytest.param([], marks=pytest.mark.full)], ids=["stream", "whole"])
def test_voice_conversion(place, options):
    samples, report = say(place, OTHERS[1], "--ref-audio", PROMPT, *options, verb=("convert-voice",))
    heard, rate = wav.read(OTHERS[1])
    assert len(samples) / RATE == pytest.approx(len(heard) / rate, abs=0.1) and report["mode"] == "voice conversion"


@pytest.mark.full
def test_a_saved_speaker_speaks_sooner(place):
    """With the same samples; at full size in at most 0.6 of the time."""
    model, stream = ["--model", place.model], ["--text", TEXT, "--stream"]
    fresh, without = say(place, *stream, *MODES["zero-shot"])
    cli("speakers", *model, "--add", "me", "--prepare", *MODES["zero-shot"])
    (listed,) = json.loads(cli("speakers", *model, "--json"))
    assert listed["speaker"] == "me" and listed["prepared_mb"] > 0
    saved, report = say(place, *stream, "--speaker", "me", "--mode", "zero-shot")
    np.testing.assert_array_equal(saved, fresh)
    seconds = [sum(parts.values()) for parts in (report["first_audio_parts"], without["first_audio_parts"])]
    assert place.size == "tiny" or seconds[0] <= 0.6 * seconds[1], (report, without)
    cli("speakers", *model, "--remove", "me")
    cli("synthesize", *model, "--text", TEXT, "--speaker", "me", fails=2)


def test_instructions_are_listed(place):
    assert len(json.loads(cli("instructions", "--json"))) == 26


@pytest.mark.full
def test_memory_does_not_grow_with_the_text(place):
    """Ten minutes of speech, as dense as real speech, take no more than the first two."""
    done = subprocess.run([sys.executable, "-c", LONG, str(place.model)], cwd=ROOT, capture_output=True, check=True)
    peaks = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert peaks[-1][0] > 540
    assert peaks[-1][1] < 1.1 * max(peak for seconds, peak in peaks if seconds < 120), peaks
