"""Chunks and durations against the original, by tests/golden/f5_front_end.py; and what is better than it."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
from golden.f5_front_end import SOUNDS, sound
from models.f5tts_fakes import pipeline

from pytorch_to_mlx.models.f5tts.options import Options
from pytorch_to_mlx.models.f5tts.plan import (
    chunk_limit,
    chunk_text,
    chunks_of,
    finish_transcript,
    fixed_frames,
    n_bytes,
    new_frames,
)

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "f5_front_end.json").read_text("utf-8"))
OPTIONS = {"speed": "speed", "cross_fade_duration": "cross_fade", "fix_duration": "fix_duration"}


@pytest.mark.parametrize(("text", "limit", "chunks"), GOLDEN["chunks"])
def test_chunks_are_the_originals(text, limit, chunks):
    assert chunk_text(text, limit) == chunks


@pytest.mark.parametrize(("name", "transcript", "text", "options", "expected"), GOLDEN["plans"])
def test_the_networks_are_asked_for_what_the_original_asks(name, transcript, text, options, expected, tmp_path):
    finished, calls, n_samples = expected
    rate, _, codec, _ = SOUNDS[name]
    soundfile.write(tmp_path / "a.wav", sound(name), rate, subtype=codec)
    speaker, model = pipeline()
    voice = speaker.voice(tmp_path / "a.wav", transcript, Options(as_original=True))
    choices = {OPTIONS[option]: value for option, value in options.items()}
    speech = list(speaker.generate(text, voice=voice, as_original=True, **choices))
    assert voice.transcript == finished + " " * finished[-1].isascii()
    asked = [[hashlib.md5(str(call["ids"]).encode()).hexdigest(), call["frames"]] for call in model.calls]
    assert asked == calls
    assert sum(len(piece.audio) for piece in speech) == n_samples


@pytest.mark.parametrize(
    ("transcript", "finished"),
    [
        ("Hello", "Hello.  "),
        ("Hello.", "Hello.  "),
        ("Hello. ", "Hello.  "),
        ("Hello!", "Hello!.  "),
        ("你好。", "你好。"),
        ("你好", "你好.  "),
        ("Hi。 ", "Hi。 .  "),
        ("Hello?  ", "Hello?  .  "),
    ],
)
def test_a_transcript_ends_with_a_full_stop(transcript, finished):
    assert finish_transcript(transcript) == finished


@pytest.mark.parametrize(
    ("recording_s", "transcript", "text", "speed", "limit", "frames"),
    [
        (
            5.0,
            "Some call me nature, others call me mother nature.",
            "I don't really care what you call me.",
            1,
            173,
            801,
        ),
        (3.2, "你好，世界。", "今天是星期一。", 1, 105, 650),
        (8.75, "Some call me nature.", "Hi.", 1, 31, 1192),
        (8.75, "Some call me nature.", "Hello you.", 1.3, 41, 1106),
        (11.9, "A longer reference text, for a longer reference clip.", "short", 0.7, 32, 1452),
    ],
)
def test_durations_are_the_originals(recording_s, transcript, text, speed, limit, frames):
    finished, n_frames = finish_transcript(transcript), int(recording_s * 24000) // 256
    assert chunk_limit(finished, recording_s, speed) == limit
    assert n_frames + new_frames(text, finished, n_frames, speed, as_original=True) == frames


def test_a_fixed_duration_is_shared_by_the_chunks():
    assert fixed_frames(20.0, ["Hello there, friend.", "And a second one."], 468, 0.15) == [1236, 1120]
    assert fixed_frames(12.0, ["only one chunk"], 375, 0.15) == [1125]


def test_a_short_text_has_more_time_and_there_is_no_jump():
    frames = [new_frames("a" * n, "b" * 50, 500, 1.0) for n in range(1, 60)]
    assert frames == sorted(frames)
    assert max(after - before for before, after in pairwise(frames)) <= 11
    assert frames[9] == 200  # 10 bytes: twice as long as by the recording's speed
    assert frames[29:] == [10 * n for n in range(30, 60)]
    assert new_frames("a" * 9, "b" * 50, 500, 2.0) == new_frames("a" * 9, "b" * 50, 500, 1.0) // 2
    jump = [new_frames("a" * n, "b" * 50, 500, 1.0, as_original=True) for n in (9, 10)]
    assert jump == [300, 100]


@pytest.mark.parametrize(
    "text", ["word " * 100, "字" * 100, "one, two. " * 40, "a" * 500, " \n x", "重(chong2)庆" * 20]
)
def test_no_chunk_is_too_long_and_nothing_is_lost(text):
    chunks = chunks_of(text, 40)
    assert all(0 < n_bytes(chunk) <= 40 for chunk in chunks)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert all(chunk.count("(") == chunk.count(")") for chunk in chunks)


def test_the_first_chunk_of_a_stream_is_short():
    text = "One two three four five six seven, eight nine ten. And here is the next sentence of it, which goes on."
    whole, streamed = chunks_of(text, 60), chunks_of(text, 60, small_first=True)
    assert streamed[0] == "One two three" and streamed[1].startswith("four five")
    assert streamed[2:] == whole[1:]
    assert " ".join(streamed) == " ".join(whole)
    assert chunks_of("", 60, small_first=True) == []
