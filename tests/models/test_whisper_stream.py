"""Whisper on audio as it comes: real speech, real weights; what is committed stays and is what the whole would give."""

import json
from itertools import pairwise

import numpy as np
import pytest
from command import run

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.whisper.pipeline import stream_options

MODEL = "packaged:whisper-tiny.en"


@pytest.fixture(scope="module")
def tiny_en():
    return load(MODEL)


def blocks(samples, seconds):
    size = round(seconds * 16000)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def test_two_hypotheses_that_agree_are_committed(tiny_en):
    samples = np.concatenate([speech(), np.zeros(16000, np.float32), speech()])
    updates = list(tiny_en.listen(blocks(samples, 1.0)))
    text, whole = "".join(update.text for update in updates), tiny_en.transcribe(samples, temperature=0.0).text
    assert text.casefold() == whole.casefold()  # the first words are committed before the sentence is heard to begin
    words = [word for update in updates for word in update.committed]
    assert all(a.start_s <= a.end_s <= b.end_s + 1e-6 for a, b in pairwise(words))
    assert words[-1].end_s <= len(samples) / 16000 and words[4].start_s > 3.0
    assert updates[-1].tentative == "" and any(update.tentative for update in updates[:-1])
    for update in updates:
        if update.committed:
            assert update.latency_s == pytest.approx(
                update.position_s + update.processing_s - update.committed[0].end_s, abs=0.02
            )
        else:
            assert update.latency_s is None
    first = next(update for update in updates if update.committed)
    assert first.position_s <= 3.0, "nothing was committed before the sentence ended"


def test_a_long_stream_keeps_little(tiny_en):
    """The buffer is cut at what is committed, and the text goes on."""
    stream = tiny_en.stream(step_s=2.0, buffer_s=5.0)
    samples = np.tile(np.concatenate([speech(), np.zeros(8000, np.float32)]), 6)
    text, longest = "", 0
    for block in blocks(samples, 2.0):
        text += "".join(update.text for update in stream.feed(block))
        longest = max(longest, len(stream._audio) / 16000)
    text += stream.finish().text
    assert text.lower().count("go forward") == 6 and longest <= 9.0
    assert len(stream._audio) == 0 and stream.position_s == len(samples) / 16000


def test_pauses_settle_and_silence_costs_nothing(tiny_en):
    pause = np.zeros(3 * 16000, np.float32)
    stream = tiny_en.stream(vad_filter=True, step_s=5.0, buffer_s=15.0)
    heard = [u for block in blocks(np.concatenate([pause, pause]), 0.5) for u in stream.feed(block)]
    assert heard == [], "the model ran on silence"
    heard = [u for block in blocks(np.concatenate([speech(), pause]), 0.5) for u in stream.feed(block)]
    said = [update for update in heard if update.committed]
    assert [update.text for update in said] == [" Go forward 10 meters."]
    assert said[0].committed[0].start_s > 5.9
    assert stream.finish().committed == ()


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.zeros(40000), np.full(9000, 0.9)], ids=len)
def test_little_or_nothing_said(tiny_en, samples):
    stream = tiny_en.stream()
    updates = [*stream.feed(samples), stream.finish()]
    assert all(update.position_s <= len(samples) / 16000 for update in updates)
    assert all(np.isfinite([update.processing_s, update.latency_s or 0]).all() for update in updates)


def test_what_cannot_be_heard_is_refused(tiny_en):
    stream = tiny_en.stream()
    with pytest.raises(FormatError, match="NaN"):
        stream.feed(np.array([np.nan]))
    with pytest.raises(FormatError, match="shape"):
        stream.feed(np.zeros((2, 5)))
    for wrong in ({"step_s": 0.0}, {"buffer_s": 25.0}, {"buffer_s": 1.0}, {"prefix": (1,)}, {"language": "xx"}):
        with pytest.raises(UsageError):
            stream_options(**wrong)


def test_from_the_command_line(tmp_path):
    path = wav.write(tmp_path / "said.wav", speech(), 16000)
    told = ["whisper", "transcribe", "--stream", "--model", MODEL, "--step", "2"]
    done = run(*told, str(path), timeout=120)
    assert done.returncode == 0 and b"forward" in done.stdout and b"1 commit, " in done.stderr, done.stderr.decode()
    done = run(*told, "-", "--json", input=path.read_bytes(), timeout=120)
    decoder, text, found = json.JSONDecoder(), done.stdout.decode(), []
    while text.strip():
        update, end = decoder.raw_decode(text.lstrip())
        found.append(update)
        text = text.lstrip()[end:]
    assert "".join(update["committed"] for update in found) == " Go forward 10 meters."
    assert run(*told).returncode == run(*told, "a.wav", "b.wav").returncode == 2
    assert b"--stream" in run("whisper", "transcribe", "--microphone", "--model", MODEL).stderr
