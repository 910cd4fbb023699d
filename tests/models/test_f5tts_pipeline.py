"""From text to speech with stand-ins for the networks: seeds, chunks, voices, options, and edits of a recording."""

import sys
import types
from typing import Any

import numpy as np
import pytest
from models.f5tts_fakes import TRANSCRIPT, noise, pipeline

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.f5tts.edit import EditPlan, Span
from pytorch_to_mlx.models.f5tts.options import Options
from pytorch_to_mlx.models.f5tts.pipeline import Part
from pytorch_to_mlx.progress import listening

TEXT = "The first sentence of it is here. Here is the second one, which goes on. And a third. " * 3


@pytest.fixture
def speaker():
    """A pipeline, its model, and a voice."""
    made, model = pipeline()
    return made, model, made.voice(noise(5.0), TRANSCRIPT)


def test_each_chunk_has_a_seed_of_its_own(speaker):
    made, model, voice = speaker
    speech = list(made.generate(TEXT, voice=voice, seed=7, steps=4, cfg=0, sway=None, solver="midpoint"))
    assert len(speech) > 1
    assert [call["seed"] for call in model.calls] == list(range(7, 7 + len(speech)))
    options = {"steps": 4, "guidance": 0, "sway": None, "method": "midpoint"}
    assert all({name: call[name] for name in options} == options for call in model.calls)
    assert " ".join(piece.text for piece in speech) == TEXT.strip()


def test_progress_is_told_step_by_step_and_ends_with_all_of_it(speaker):
    made, model, voice = speaker
    chunks = made.chunks([Part(TEXT, voice)], Options())
    positions: list[float] = []
    list(made.speak_chunks(chunks, Options(), positions.append))
    for call in model.calls:
        call["when_moved"](0.5)
    lengths = [chunk.new_s for chunk in chunks]
    starts = np.cumsum([0, *lengths[:-1]])
    assert np.allclose(positions, starts + np.array(lengths) / 2) and len(positions) == len(chunks) > 1


def test_the_seed_goes_around(speaker):
    made, model, voice = speaker
    list(made.generate(TEXT, voice=voice, seed=2**32 - 1))
    assert [call["seed"] for call in model.calls][:2] == [2**32 - 1, 0]


def test_times_of_pieces_follow_each_other(speaker):
    made, _, voice = speaker
    speech = list(made.generate(TEXT, voice=voice))
    ends = np.cumsum([piece.duration_s for piece in speech])
    assert np.allclose([piece.start_s for piece in speech], [0, *ends[:-1]])
    assert all((piece.audio == 0.5).all() for piece in speech)  # the cross-fade keeps the level


def test_the_first_piece_of_a_stream_comes_after_a_short_chunk(speaker):
    made, model, voice = speaker
    next(iter(made.generate(TEXT, voice=voice, stream=True)))
    [call] = model.calls
    whole = made.chunks([Part(TEXT, voice)], Options())
    assert call["frames"] - voice.n_frames < (whole[0].frames - voice.n_frames) / 2


def test_speech_starts_after_the_recording_and_is_as_loud(speaker):
    made, model, _ = speaker
    voice = made.voice(noise(5.0, level=0.05), TRANSCRIPT)
    [piece] = made.generate("Hello you, how are you today, my friend?", voice=voice)
    assert len(piece.audio) == 256 * (model.calls[0]["frames"] - voice.n_frames - 1)
    assert piece.audio == pytest.approx(0.5 * voice.loudness)
    assert model.calls[0]["cond"].shape == (voice.n_frames + 1, 100)


@pytest.mark.parametrize("text", ["Hello you, how are you today, my friend?", TEXT])
def test_a_duration_is_that_of_all_new_speech(speaker, text):
    made, _, voice = speaker
    seconds = sum(piece.duration_s for piece in made.generate(text, voice=voice, duration=9.0))
    assert seconds == pytest.approx(9.0, abs=0.05)


def test_a_fixed_duration_counts_the_recording_too(speaker):
    made, _, voice = speaker
    [piece] = made.generate("Hello you.", voice=voice, fix_duration=8.0)
    assert piece.duration_s == pytest.approx(8.0 - voice.recording_s, abs=0.03)
    with pytest.raises(UsageError, match=r"fix_duration is 3 s, and the recording alone has 5\.0\d s; .*--duration"):
        made.generate("Hello you.", voice=voice, fix_duration=3.0)


def test_speed_makes_speech_shorter(speaker):
    made, _, voice = speaker
    text = "Hello you, how are you today, my friend?"
    slow, fast = (next(iter(made.generate(text, voice=voice, speed=speed))).duration_s for speed in (1.0, 2.0))
    assert slow == pytest.approx(2 * fast, abs=0.03)


def test_numbers_are_read_unless_they_are_to_stay(speaker):
    made, model, voice = speaker
    for options in ({}, {"raw_text": True}, {"lang_code": "none"}, {"as_original": True}):
        list(made.generate("I have 5 of them.", voice=voice, **options))
    said = ["".join(call["ids"]).rpartition("  ")[2] for call in model.calls]
    assert said == ["I have five of them.", *["I have 5 of them."] * 3]


def test_a_forced_reading_takes_no_time(speaker, monkeypatch):
    made, _, voice = speaker
    monkeypatch.setitem(sys.modules, "rjieba", types.SimpleNamespace(cut=list))
    with_reading, without = (
        made.chunks([Part(text, voice)], Options(raw_text=True)) for text in ("重(chong2)庆", "重庆")
    )
    assert [chunk.frames for chunk in with_reading] == [chunk.frames for chunk in without]


def test_voices_take_turns_and_nothing_fades_between_them(speaker):
    made, model, voice = speaker
    other = made.voice(noise(3.0, seed=1), "Another voice says this.")
    parts = [Part("This is the first of them, said here.", voice), Part("This is the second of them.", other, 0.5)]
    options = Options(seed=3)
    speech = list(made.speak(parts, options))
    alone = [sum(piece.duration_s for piece in made.speak([part], options)) for part in parts]
    assert [piece.duration_s for piece in speech] == pytest.approx(alone)
    assert [call["seed"] for call in model.calls[:2]] == [3, 4]
    assert "".join(model.calls[1]["ids"]).startswith("Another voice says this.  ")
    with pytest.raises(UsageError, match="a duration is for a text of one voice"):
        made.speak(parts, Options(duration=3.0))


def test_ten_minutes_are_spoken_chunk_by_chunk(speaker):
    made, model, voice = speaker
    pieces = made.generate(TEXT * 35, voice=voice)
    seconds, longest = 0.0, 0
    for n_pieces, piece in enumerate(pieces, 1):
        assert len(model.calls) == n_pieces
        seconds, longest = seconds + piece.duration_s, max(longest, len(piece.audio))
    assert seconds > 600 and longest < 22 * 24000


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"speed": 0.0}, "speed"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"steps": 0}, "steps"),
        ({"cfg": float("nan")}, "cfg must be between"),
        ({"sway": 9.0}, "sway is 9"),
        ({"sway": float("nan")}, "sway is nan"),
        ({"solver": "rk9"}, "no solver is called 'rk9'"),
        ({"cross_fade": -1.0}, "cross_fade"),
        ({"duration": 0.0}, "duration"),
        ({"fix_duration": 1e9}, "fix_duration"),
        ({"duration": 1.0, "fix_duration": 1.0}, "one of duration and fix_duration"),
        ({"lang_code": "fr"}, "not read in 'fr'"),
        ({"voice": None}, "no voice is given"),
        ({"ref_text": "Hello."}, "a Voice has its own"),
    ],
)
def test_values_out_of_range_are_refused(speaker, options, problem):
    made, _, voice = speaker
    with pytest.raises(UsageError, match=problem):
        made.generate("Hello.", **{"voice": voice, **options})


@pytest.mark.parametrize("target_rms", [0.0, 1.5, float("nan")])
def test_a_loudness_out_of_range_is_refused(speaker, target_rms):
    with pytest.raises(UsageError, match="target_rms"):
        speaker[0].voice(noise(5.0), TRANSCRIPT, target_rms=target_rms)
    with pytest.raises(UsageError, match="target_rms"):
        speaker[0].edit(noise(5.0), "Hello.", [Span(1.0, 2.0)], target_rms=target_rms)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_the_speed_of_a_voice_is_checked_too(speaker, speed):
    with pytest.raises(UsageError, match="speed must be between"):
        speaker[0].speak([Part("Hello.", speaker[2], speed)], Options())


@pytest.mark.parametrize(
    ("text", "error"), [("", UsageError), (" \n", UsageError), ("... !", UsageError), ("a\ud800", FormatError)]
)
def test_a_text_without_words_is_refused(speaker, text, error):
    with pytest.raises(error):
        speaker[0].generate(text, voice=speaker[2])


def test_what_is_not_in_the_vocabulary_is_named(speaker):
    made, _, voice = speaker
    lines: list[str] = []

    class Notes:
        def note(self, text: str) -> None:
            lines.append(text)

    with listening(Notes()):  # type: ignore[arg-type]
        list(made.generate("Ça va, ça va?", voice=voice))
        list(made.generate("Hello.", voice=voice, fix_duration=60.0))
    assert lines == [
        "warning: not in the vocabulary, spoken as spaces: Ç ç",
        "warning: 61 s of recording and speech at once; the model knows 30 s",
    ]


def test_an_edit_keeps_the_rest_of_the_recording(speaker):
    made, model, _ = speaker
    recording = noise(4.0)
    edited = made.edit(recording, "All that is said.", [Span(1.0, 2.0, 1.5)], steps=4, seed=9)
    [call] = model.calls
    start, end = round(1.0 * 93.75), round(2.0 * 93.75)
    n_new, n_frames = round(1.5 * 93.75), 4 * 24000 // 256 + 1
    assert call["frames"] == len(call["cond"]) == n_frames + n_new - (end - start)
    expected = [True] * start + [False] * n_new + [True] * (n_frames - end)
    assert (call["keep"], call["seed"], call["steps"]) == (expected, 9, 4)
    assert not np.array(call["cond"])[start : start + n_new].any()
    assert "".join(call["ids"]) == "All that is said."
    fade, first, last = 240, 256 * start, 256 * (start + n_new)
    assert len(edited.audio) == len(recording) + 256 * (n_new - (end - start))
    assert np.allclose(edited.audio[: first - fade], recording[: first - fade])
    assert (edited.audio[first:last] == 0.5).all()
    assert np.allclose(edited.audio[last + fade :], recording[256 * end + fade :])


def test_as_original_an_edit_is_vocoded_as_a_whole(speaker):
    made, _, _ = speaker
    edited = made.edit(noise(4.0), "All that is said.", [Span(1.0, 2.0)], as_original=True)
    assert len(edited.audio) == 256 * (4 * 24000 // 256 + 1)  # the model adds a frame
    assert (edited.audio == 0.5).all()


def test_spans_may_touch_and_insert():
    plan = EditPlan.of([Span(2.0, 3.0), Span(1.0, 1.0, 0.5), Span(1.0, 2.0)], 376)
    assert plan.kept == ((0, 94), (94, 94), (188, 188), (281, 376)) and plan.new == (47, 94, 94, 0)


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ([], "0 spans"),
        ([Span(1.0, 2.0), Span(1.5, 2.5)], "overlaps another"),
        ([Span(3.0, 5.0)], r"outside the recording; the recording lasts 4\.00 s"),
        ([Span(-1.0, 1.0)], "outside"),
        ([Span(2.0, 1.0)], "cannot last -1 s"),
        ([Span(1.0, 1.0)], "cannot last 0 s"),
        ([Span(1.0, float("nan"))], "cannot last"),
        ([Span(1.0, 2.0, 1e9)], "cannot last"),
    ],
)
def test_other_spans_are_refused(spans, problem):
    with pytest.raises(UsageError, match=problem):
        EditPlan.of(spans, 376)


def test_spans_are_written_as_times():
    assert Span.parse("1.42-2.44:1.2") == Span(1.42, 2.44, 1.2)
    assert Span.parse("0-3") == Span(0.0, 3.0)
    for text in ("", "1", "a-b", "1-2:", "1-2:x", "1-2-3"):
        with pytest.raises(UsageError, match="is not a span"):
            Span.parse(text)


@pytest.mark.parametrize("recording", [np.zeros(48000, np.float32), noise(0.02)])
def test_what_cannot_be_edited_is_refused(speaker, recording):
    with pytest.raises(UsageError, match=r"silent|too short"):
        speaker[0].edit(recording, "Hello.", [Span(0.0, 0.01)])


def test_the_pipeline_is_the_tasks(speaker):
    from pytorch_to_mlx.tasks import TextToSpeech

    made: Any = speaker[0]
    assert isinstance(made, TextToSpeech) and made.sample_rate == 24000
