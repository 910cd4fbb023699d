"""CosyVoice 2 from the command line, every mode with real speech: a tiny release, and behind `-m full` a full-size one.

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
from models.cosyvoice import release
from models.cosyvoice.spoken import family_cli, spoken

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.audio.examples import DATA
from pytorch_to_mlx.models.cosyvoice.text.tokenizer import TextTokenizer

RATE = 24000
TOKEN = 960  # samples of a speech token
PROMPT, SAID = DATA / "goforward.flac", "go forward ten meters"
OTHERS = sorted((Path(__file__).parents[2] / "data" / "librivox").glob("*.flac"))
TEXT = "one for you."
CONVERSIONS = {  # options, and at most so many bytes at full size
    "float16": (["--dtype", "float16"], 2.0e9),
    "bfloat16": (["--dtype", "bfloat16"], 2.0e9),
    "8 bit": (["--quantize", "--q-bits", "8", "--q-group-size", "32"], 1.8e9),
    "4 bit": (["--quantize", "--q-bits", "4", "--q-group-size", "32", "--dtype", "float16"], 1.1e9),
}


@dataclass(frozen=True)
class Place:
    """A release, its converted folder by name, and where to write to."""

    size: str
    release: Path
    converted: dict[str, Path]
    folder: Path


cli = partial(family_cli, "cosyvoice2")


@pytest.fixture(scope="module", params=["tiny", pytest.param("full", marks=pytest.mark.full)])
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    sizes = release.FULL if request.param == "full" else release.TINY
    original = release.write_release(folder / "release", sizes)
    made = {}
    for name, (options, _) in CONVERSIONS.items():
        made[name] = folder / name.replace(" ", "-")
        cli("convert", "--hf-path", original, "--mlx-path", made[name], *options)
    return Place(request.param, original, made, folder)


def say(place, *options, model="float16", stdin="", verb=("synthesize",)) -> tuple[np.ndarray, dict]:
    """The samples of the WAV file, after a look at it, and what was reported."""
    output = place.folder / "out.wav"
    samples, report = spoken(cli, place.converted.get(model, place.release), output, RATE, verb, options, stdin)
    parts = report["first_audio_parts"]
    assert 0 < 1000 * sum(parts.values()) <= report["first_audio_ms"] + 1
    return samples, report


def assert_length(place, samples, text=TEXT):
    """2 to 20 speech tokens for a text token."""
    words = len(TextTokenizer.open(place.converted["float16"]).encode(text))
    assert len(samples) % TOKEN == 0 and 2 * words <= len(samples) / TOKEN <= 20 * words


def test_inspect_and_list(place):
    assert "CosyVoice2-0.5B" in cli("list")
    told = json.loads(cli("inspect", place.release, "--json"))
    assert told["family"] == "cosyvoice2" and not told["problems"], told


@pytest.mark.parametrize("name", CONVERSIONS)
def test_converted_folders_speak_and_are_as_small_as_they_should_be(place, name):
    if place.size == "full":
        assert sum(file.stat().st_size for file in place.converted[name].rglob("*")) <= CONVERSIONS[name][1]
    samples, _ = say(place, "--text", TEXT, "--speaker", "random", model=name)
    assert_length(place, samples)


MODES = {
    "the release itself": ["--speaker", "random:3"],
    "nobody": ["--speaker", "none"],
    "zero-shot": ["--ref-audio", PROMPT, "--ref-text", SAID],
    "cross-lingual": ["--ref-audio", OTHERS[0]],
    "instruct": ["--ref-audio", OTHERS[1], "--instruct", "one by one"],
    "midpoint": ["--speaker", "random", "--solver", "midpoint", "--steps", "4"],
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(place, mode):
    model = "release" if mode == "the release itself" else "float16"
    samples, report = say(place, "--text", TEXT, *MODES[mode], model=model)
    assert_length(place, samples)
    assert report["mode"] == (mode if mode in ("zero-shot", "cross-lingual", "instruct") else "sft")


@pytest.mark.parametrize("mode", ["zero-shot", "instruct"])
def test_streams(place, mode):
    samples, report = say(place, "--text", TEXT, *MODES[mode], "--stream")
    assert_length(place, samples)
    assert {"voice", "text", "flow_prompt", "language_model"} < report["first_audio_parts"].keys()


def test_text_that_comes_on_stdin_is_spoken_in_one_stream(place):
    samples, _ = say(place, "--text", "-", *MODES["zero-shot"], "--stream", stdin="one\nfor\nyou\nand you\n")
    assert len(samples) % TOKEN == 0 and 0 < len(samples) / TOKEN


def test_speed(place):
    normal, _ = say(place, "--text", TEXT, *MODES["cross-lingual"])
    for speed in (0.5, 2.0):
        samples, _ = say(place, "--text", TEXT, *MODES["cross-lingual"], "--speed", speed)
        assert len(samples) == pytest.approx(len(normal) / speed, abs=480)


def test_speakers_are_added_used_and_removed(place):
    model = ["--model", place.converted["float16"]]
    fresh, _ = say(place, "--text", TEXT, *MODES["zero-shot"])
    cli("speakers", *model, "--add", "me", "--ref-audio", PROMPT, "--ref-text", SAID)
    (listed,) = json.loads(cli("speakers", *model, "--json"))
    assert listed["speaker"] == "me" and listed["transcript"] is True
    again, _ = say(place, "--text", TEXT, "--speaker", "me", "--mode", "zero-shot")
    np.testing.assert_array_equal(again, fresh)
    for options in (["--mode", "sft"], ["--mode", "cross-lingual"], ["--instruct", "one by one"]):
        assert_length(place, say(place, "--text", TEXT, "--speaker", "me", *options)[0])
    cli("speakers", *model, "--remove", "me")
    assert json.loads(cli("speakers", *model, "--json")) == []
    cli("synthesize", *model, "--text", TEXT, "--speaker", "me", fails=2)


@pytest.mark.full
def test_a_prepared_speaker_speaks_sooner(place):
    """With the same samples; at full size in at most 0.6 of the time that a recording takes."""
    model, stream = ["--model", place.converted["float16"]], ["--text", TEXT, "--stream"]
    fresh, without = say(place, *stream, *MODES["zero-shot"])
    cli("speakers", *model, "--add", "me", "--prepare", *MODES["zero-shot"])
    saved, report = say(place, *stream, "--speaker", "me", "--mode", "zero-shot")
    np.testing.assert_array_equal(saved, fresh)
    seconds = [sum(parts.values()) for parts in (report["first_audio_parts"], without["first_audio_parts"])]
    assert place.size == "tiny" or seconds[0] <= 0.6 * seconds[1], (report, without)


@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
def test_voice_conversion_of_more_than_30_s(place, options):
    speech = np.concatenate([wav.read(path)[0] for path in (*OTHERS, PROMPT, *OTHERS)])[: 32 * 16000]
    source = place.folder / "source.wav"
    wav.write(source, speech, 16000)
    samples, report = say(place, source, "--ref-audio", PROMPT, *options, verb=("convert-voice",))
    assert len(samples) == 32 * RATE and report["mode"] == "voice conversion"


def test_voice_conversion_to_a_saved_voice_and_other_speeds(place):
    samples, _ = say(place, OTHERS[1], "--speaker", "random:5", "--speed", 1.5, verb=("convert-voice",))
    heard, rate = wav.read(OTHERS[1])
    assert len(samples) / RATE == pytest.approx(len(heard) / rate / 1.5, abs=0.1)


LONG = """
import resource, sys
from pytorch_to_mlx.model_source import load

text, seconds = "one for you and that was what they had. " * 260, 0.0
for speech in load(sys.argv[1]).inference_sft(text, "random", steps=2, min_ratio=6.0, max_ratio=6.0):
    seconds += speech.duration_s
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.full
def test_memory_does_not_grow_with_the_text(place):
    """Ten minutes of speech, as dense as real speech (6 tokens for one of text), take no more than the first two."""
    command = [sys.executable, "-c", LONG, str(place.converted["4 bit"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peaks = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert peaks[-1][0] > 540
    assert peaks[-1][1] < 1.1 * max(peak for seconds, peak in peaks if seconds < 120), peaks
