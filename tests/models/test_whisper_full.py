"""Whisper at full size beside openai-whisper on the same weights: every token, greedy and by beams; word times.

And there and back: what Kokoro says, Whisper hears.
"""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import whisper

from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.audio.load import load_audio
from pytorch_to_mlx.audio.resample import resample
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.model_source import load as load_kokoro
from pytorch_to_mlx.models.whisper.reference import build_original
from pytorch_to_mlx.tasks import Speech

# openai-whisper's own: NumPy functions called on tensors, and a vocabulary file left open
pytestmark = [
    pytest.mark.full,
    pytest.mark.filterwarnings("ignore:__array_wrap__"),
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]
LIBRIVOX = sorted((Path(__file__).parent.parent / "data" / "librivox").glob("*.flac"))
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Hello, world! How are you today?",
    "She sells sea shells by the shore, and he buys them every morning.",
)


@pytest.fixture(scope="module")
def kokoro():
    return load_kokoro("packaged:kokoro-82m-int8")


def spoken(kokoro, text):
    """The text in Kokoro's voice, at 16 kHz."""
    said = Speech.concatenate(kokoro.generate(text, voice="af_heart", seed=0))
    return resample(np.asarray(said.audio), said.sample_rate, 16000)


@pytest.fixture(scope="module", params=["whisper-base", "whisper-tiny.en"])
def sides(request):
    ours = load(f"packaged:{request.param}")
    return ours, build_original(ours.model)


@pytest.fixture(params=[*(path.stem for path in LIBRIVOX), "goforward", "kokoro"])
def samples(request):
    if request.param == "goforward":
        return speech()
    if request.param == "kokoro":
        return spoken(request.getfixturevalue("kokoro"), TEXTS[0])
    return load_audio(next(path for path in LIBRIVOX if path.stem == request.param), 16000)


@pytest.mark.parametrize("options", [{}, {"beam_size": 5}], ids=["greedy", "beam 5"])
def test_every_token_and_word_time(sides, samples, options):
    ours, theirs = sides
    given = {"temperature": 0.0, "word_timestamps": True, "language": "en", **options}
    found = ours.transcribe(samples, **given)
    expected = whisper.transcribe(theirs, samples, fp16=False, **given)
    assert found.text == expected["text"] and len(found.text) > 15
    assert [list(s.tokens) for s in found.segments] == [s["tokens"] for s in expected["segments"]]
    words = [word for segment in found.segments for word in segment.words]
    theirs_ = [word for segment in expected["segments"] for word in segment["words"]]
    assert [word.text for word in words] == [word["word"] for word in theirs_]
    apart = [
        abs(a - b)
        for w, t in zip(words, theirs_, strict=True)
        for a, b in ((w.start_s, t["start"]), (w.end_s, t["end"]))
    ]
    assert max(apart) <= 0.04 + 1e-9, max(apart)


def test_silence_gives_what_the_original_gives(sides):
    """Both hear " you" twice in 35 s of zeros with these weights, too probable for no_speech_threshold."""
    ours, theirs = sides
    silence = np.zeros(35 * 16000, np.float32)
    found = ours.transcribe(silence, temperature=0.0)
    expected = whisper.transcribe(theirs, silence, fp16=False, temperature=0.0)
    assert [list(s.tokens) for s in found.segments] == [s["tokens"] for s in expected["segments"]]
    assert found.language == expected["language"]
    assert ours.transcribe(silence, temperature=0.0, vad_filter=True).text == ""


def test_a_long_silence_says_nothing_in_flat_memory():
    """Twenty minutes through the filter, a second at a time: no word, and nothing kept of what was heard."""
    stream = load("packaged:whisper-tiny.en").stream(vad_filter=True)
    silence = np.zeros(16000, np.float32)
    for second in range(1200):
        assert all(not update.committed for update in stream.feed(silence))
        if second == 120:
            peak = peak_memory_bytes()
    assert stream.finish().text == "" and len(stream._audio) == 0
    assert peak_memory_bytes() <= 1.02 * peak


@pytest.mark.parametrize("text", TEXTS)
def test_speak_and_listen(kokoro, text):
    heard = load("packaged:whisper-base").transcribe(spoken(kokoro, text))
    assert heard.language == "en" and _words(heard.text) == _words(text), heard.text


def _words(text):
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


def test_an_hour_of_audio_takes_no_more_memory_than_six_minutes():
    """What is committed is right to the end, and the peak of memory does not move by 2 %."""
    pipeline = load("packaged:whisper-tiny.en")
    turn = np.concatenate([np.concatenate([load_audio(path, 16000), np.zeros(8000, np.float32)]) for path in LIBRIVOX])
    stream = pipeline.stream(step_s=5.0)
    turns, heard, peak = 3600 * 16000 // len(turn), 0, 0
    for number in range(turns):
        for start in range(0, len(turn), 5 * 16000):
            for update in stream.feed(turn[start : start + 5 * 16000]):
                heard += sum("dashwood" in word.text.lower() for word in update.committed)
        if number == turns // 10:
            peak = peak_memory_bytes()
    stream.finish()
    assert heard > 0.9 * turns
    assert peak_memory_bytes() <= 1.02 * peak


def peak_memory_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
