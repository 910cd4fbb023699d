"""Whisper listens to recordings that are too long: what is left of a transcript is what is left of its recording."""

from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.audio.wav import read
from pytorch_to_mlx.models.f5tts.listen import join_words, whisper_listener
from pytorch_to_mlx.models.f5tts.voice import make_voice, read_recording

pytestmark = pytest.mark.full
RECORDINGS = sorted((Path(__file__).parent.parent / "data" / "librivox").glob("*.flac"))


def letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


@pytest.fixture(scope="module")
def listener():
    return whisper_listener("packaged:whisper-base")


@pytest.mark.parametrize("noise", [0.0, 0.02], ids=["cut at a pause", "cut anywhere"])
def test_a_transcript_ends_where_its_recording_does(listener, noise):
    recordings = [read(path, sample_rate=24000)[0] for path in RECORDINGS]
    transcript = " ".join(join_words(listener(read_recording(recording))) for recording in recordings)
    whole = np.concatenate(recordings)
    whole = (whole + noise * np.random.default_rng(0).standard_normal(len(whole))).astype(np.float32)
    assert len(whole) > 15 * 24000
    voice = make_voice(whole, transcript, listener)
    said = letters(voice.transcript)
    assert voice.recording_s < 12.1 and 20 < len(said) < len(letters(transcript))
    assert letters(transcript).startswith(said)
    heard = letters(join_words(listener(read_recording(voice.samples))))
    assert abs(len(heard) - len(said)) <= 0.1 * len(said) and heard[-4:] == said[-4:]
