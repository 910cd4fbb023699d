"""A recording and its transcript become a voice: bad recordings, long ones, and what is heard in them."""

import numpy as np
import pytest
import soundfile
from models.f5tts_fakes import TRANSCRIPT, hearing, noise, words

from pytorch_to_mlx.audio.silence import Pcm
from pytorch_to_mlx.errors import FormatError, MachineError, UsageError
from pytorch_to_mlx.models.f5tts.listen import cut_transcript, end_at_a_word, join_words
from pytorch_to_mlx.models.f5tts.voice import make_voice
from pytorch_to_mlx.progress import listening


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def notes():
    listener = Notes()
    with listening(listener):  # type: ignore[arg-type]
        yield listener.lines


def deaf(pcm):
    raise AssertionError("nobody should listen")


def test_a_recording_becomes_a_voice():
    voice = make_voice(noise(4.0), TRANSCRIPT, deaf)
    assert voice.transcript == f"{TRANSCRIPT}  "
    assert voice.recording_s == pytest.approx(4.05, abs=1e-3)
    assert voice.loudness == 1
    assert voice.n_frames - voice.n_spoken_frames == round(0.95 * 24000 / 256)
    assert not voice.samples[-22800:].any() and voice.samples[: 4 * 24000].any()
    original = make_voice(noise(4.0), TRANSCRIPT, deaf, as_original=True)
    assert np.array_equal(original.samples, voice.samples[:-22800])
    assert original.n_frames == original.n_spoken_frames


def test_a_quiet_recording_is_made_louder_and_its_loudness_is_kept():
    voice = make_voice(noise(4.0, level=0.05), TRANSCRIPT, deaf, as_original=True)
    assert np.sqrt(np.mean(voice.samples**2)) == pytest.approx(0.1, rel=1e-3)
    assert voice.loudness == pytest.approx(0.05 / 3**0.5 / 0.1, rel=1e-2)


def test_without_a_transcript_the_recording_is_listened_to():
    listener = hearing("what is heard")
    voice = make_voice(noise(4.0), None, listener)
    assert voice.transcript == "what is heard.  "
    assert [pcm.ms for pcm in listener.recordings] == [4000]
    with pytest.raises(UsageError, match="no words were heard"):
        make_voice(noise(4.0), "  ", hearing(""))


def test_numbers_of_the_transcript_are_read():
    voice = make_voice(noise(4.0), "5 men", deaf, aloud=lambda text: text.replace("5", "five"))
    assert voice.transcript == "five men.  "


def with_pauses(*seconds):
    return np.concatenate([np.concatenate([noise(s), np.zeros(12000, np.float32)]) for s in seconds])


def test_a_transcript_is_cut_where_its_recording_is(notes):
    listener = hearing("some call me nature others", step_s=2.0)
    voice = make_voice(with_pauses(7.0, 9.0), TRANSCRIPT, listener)
    assert voice.transcript == "Some call me nature, others.  "
    assert 6 < voice.recording_s < 9
    assert notes == ["the recording is cut to 7.0 s; in it is said: Some call me nature, others"]
    original = make_voice(with_pauses(7.0, 9.0), TRANSCRIPT, deaf, as_original=True)
    assert original.transcript == f"{TRANSCRIPT}  "


def test_a_recording_without_a_pause_ends_after_a_word():
    listener = hearing("some call me nature others call", step_s=2.1)
    voice = make_voice(noise(20.0), TRANSCRIPT, listener)
    assert listener.recordings[0].ms == 12000
    assert voice.transcript == "Some call me nature, others.  "
    assert voice.recording_s == pytest.approx(10.5 + 0.05, abs=0.02)


def test_a_transcript_of_something_else_is_refused_where_it_must_be_cut():
    with pytest.raises(UsageError, match=r"cut after 12 s, and the transcript does not say.*sounds like: to be or not"):
        make_voice(noise(20.0), TRANSCRIPT, hearing("to be or not to be that is the question"))


def test_a_transcript_that_cannot_fit_is_warned_about(notes):
    make_voice(noise(4.0), "Hi", deaf)
    make_voice(noise(1.0), TRANSCRIPT, deaf)
    assert [line.split(":")[0] for line in notes] == ["warning", "warning"]
    assert "50 bytes of transcript for 1.0 s" in notes[1]


@pytest.mark.parametrize(
    ("audio", "problem"),
    [
        (np.zeros(72000, np.float32), "is silent"),
        (np.zeros(0, np.float32), "is silent"),
        (noise(3.0, level=0.001), "is silent: nothing in it is over -42 dB"),
        (noise(0.1), "0.1 s of sound are too little"),
    ],
)
def test_a_recording_without_a_voice_is_one_line(audio, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        make_voice(audio, TRANSCRIPT, deaf)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("audio", [np.full(9, np.nan, np.float32), np.zeros((2, 2, 2), np.float32), b"no audio"])
def test_what_is_not_audio_is_refused(audio):
    with pytest.raises(FormatError):
        make_voice(audio, TRANSCRIPT, deaf)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        make_voice(tmp_path / "a.wav", TRANSCRIPT, deaf)


def test_as_original_the_shortest_recordings_are_taken():
    assert make_voice(noise(0.1), TRANSCRIPT, deaf, as_original=True).n_frames == 14
    with pytest.raises(UsageError, match="too little"):
        make_voice(noise(0.02), TRANSCRIPT, deaf, as_original=True)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (96000, 1)])
def test_other_rates_and_stereo_are_taken(rate, channels, tmp_path):
    audio = np.repeat(noise(3.0, rate)[:, None], channels, axis=1)
    soundfile.write(tmp_path / "a.flac", audio, rate)
    voice = make_voice(tmp_path / "a.flac", TRANSCRIPT, deaf)
    assert len(voice.samples) == pytest.approx((3 + 0.05 + 0.95) * 24000, abs=30)
    assert voice.transcript == f"{TRANSCRIPT}  "


def test_five_minutes_are_cut_and_an_hour_is_refused(tmp_path):
    voice = make_voice(with_pauses(*[3.0] * 86), TRANSCRIPT, hearing("some call me nature", step_s=2.0))
    assert voice.recording_s < 13 and voice.transcript == "Some call me nature.  "
    soundfile.write(tmp_path / "a.wav", np.zeros(4000 * 3600), 4000)
    with pytest.raises(FormatError, match="longer than 1800 s"):
        make_voice(tmp_path / "a.wav", TRANSCRIPT, deaf)


def test_the_packaged_example_has_its_transcript(monkeypatch, tmp_path):
    from pytorch_to_mlx.models.f5tts import voice as module

    soundfile.write(tmp_path / "basic_ref_en.wav", noise(5.0), 24000)
    names = []
    monkeypatch.setattr(module, "find", lambda name: names.append(name) or tmp_path)
    assert make_voice("packaged:f5-example", None, deaf).transcript == f"{TRANSCRIPT}  "
    assert make_voice("packaged:f5-example", "Other words are said.", deaf).transcript == "Other words are said.  "
    assert names == ["f5-example"] * 2


def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path):
    from importlib import metadata

    monkeypatch.setenv("PYTORCH_TO_MLX_CACHE", str(tmp_path))

    def missing(package):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(MachineError, match=r"f5-tts==1\.1\.22"):
        make_voice("packaged:f5-example-zh", None, deaf)


@pytest.mark.parametrize(
    ("transcript", "heard", "cut"),
    [
        ("One, two, three four.", "one two", "One, two"),
        ("One, two, three four.", "one two thr", "One, two, three"),
        ("One, two. Three four.", "one two", "One, two."),
        ("One, two, three four.", "one two th", "One, two,"),
        ("One, two, three four.", "won too three", "One, two, three"),
        ("One, two, three.", "one two three four", "One, two, three."),
        ("对，这就是我，万人敬仰的太乙真人。", "對这就是我", "对，这就是我"),
        ("It costs 5 dollars and more.", "it costs 5 dollars", "It costs 5 dollars"),
        ("...", "one two", "..."),
    ],
)
def test_the_beginning_that_was_heard_is_kept(transcript, heard, cut):
    assert cut_transcript(transcript, heard) == cut


def test_a_transcript_with_less_than_half_of_it_is_refused():
    with pytest.raises(UsageError, match="does not say what the recording says; it sounds like: one two three four"):
        cut_transcript("One, two.", "one two three four")


def test_words_that_were_cut_are_left_out():
    pcm = Pcm(np.zeros((12000, 1), np.int32), 1000, 16)
    shorter, whole = end_at_a_word(pcm, words("one two three four", step_s=3.0))
    assert join_words(whole) == "one two three" and shorter.ms == 9000
    same, whole = end_at_a_word(pcm, words("one two", step_s=3.0))
    assert (same.ms, len(whole)) == (12000, 2)
    one, whole = end_at_a_word(pcm, words("one", step_s=12.0))
    assert (one.ms, len(whole)) == (12000, 1)
