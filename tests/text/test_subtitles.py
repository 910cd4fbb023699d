"""The output formats against openai-whisper's writers."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from whisper.utils import WriteSRT, WriteTSV, WriteTXT, WriteVTT

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.tasks import Segment, Transcript, Word
from pytorch_to_mlx.text.subtitles import Layout, of_speech, render, timestamp

TRANSCRIPT = Transcript(
    " Hello --> there. Again?",
    "en",
    (
        Segment(" Hello --> there.", 0.0, 2.52, (1, 2), (Word(" Hello", 0.0, 1.0, 0.9),)),
        Segment(" Again?", 3599.9996, 3671.004, (3,)),
    ),
)


@pytest.mark.parametrize("name,writer", [("txt", WriteTXT), ("vtt", WriteVTT), ("srt", WriteSRT), ("tsv", WriteTSV)])
def test_files_are_openai_s(name, writer):
    plain = [{"start": s.start_s, "end": s.end_s, "text": s.text} for s in TRANSCRIPT.segments]
    file = io.StringIO()
    writer("").write_result({"segments": plain}, file, {})
    without = replace(TRANSCRIPT, segments=tuple(replace(s, words=()) for s in TRANSCRIPT.segments))
    assert dict(render(without, name))[name] == file.getvalue()


def test_a_segment_whose_words_have_no_times_is_not_lost():
    assert "01:01:11,004\nAgain?" in dict(render(TRANSCRIPT, "srt"))["srt"]


def spoken(seed):
    """A transcript with words of random length, with pauses, and its entries as openai-whisper has them."""
    rng = np.random.default_rng(seed)
    segments, now = [], 0.0
    for _ in range(6):
        words = []
        for _ in range(rng.integers(1, 14)):
            now += float(rng.choice([0.0, 0.0, 0.25, 3.5]))
            words.append(Word(" " + "w" * rng.integers(1, 9) + "-é", now, now + 0.25, 0.5))
            now += 0.25
        segments.append(Segment("".join(w.text for w in words), words[0].start_s, words[-1].end_s, (1,), tuple(words)))
    return Transcript("", "en", tuple(segments))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_line_width": 20},
        {"max_line_width": 20, "max_line_count": 2},
        {"max_line_width": 1, "max_line_count": 1},
        {"max_line_count": 1},
        {"max_words_per_line": 3},
        {"max_words_per_line": 5, "max_line_width": 14},
        {"highlight_words": True},
        {"highlight_words": True, "max_line_width": 24, "max_line_count": 2},
    ],
    ids=str,
)
def test_cues_break_where_openai_s_do(options, seed):
    transcript = spoken(seed)
    entries = [
        {"start": s.start_s, "end": s.end_s, "text": s.text}
        | {"words": [{"word": w.text, "start": w.start_s, "end": w.end_s} for w in s.words]}
        for s in transcript.segments
    ]
    for name, writer in (("srt", WriteSRT), ("vtt", WriteVTT)):
        file = io.StringIO()
        writer("").write_result({"segments": entries}, file, **options)
        assert dict(render(transcript, name, Layout(**options)))[name] == file.getvalue()


def test_a_layout_without_room_is_refused():
    with pytest.raises(UsageError, match="max_line_width"):
        Layout(max_line_width=0)


def test_all_and_json():
    files = dict(render(TRANSCRIPT, "all"))
    assert files.keys() == {"txt", "vtt", "srt", "tsv", "json"}
    data = json.loads(files["json"])
    assert data["language"] == "en" and data["segments"][0]["words"][0]["word"] == " Hello"


def test_hours():
    assert timestamp(3671.004, comma=True, hours=True) == "01:01:11,004"
    assert timestamp(1.5, comma=False, hours=False) == "00:01.500"


def test_unknown_format_is_refused():
    with pytest.raises(UsageError, match="docx"):
        list(render(TRANSCRIPT, "docx"))


def test_subtitles_of_speech_have_its_marks_and_a_cue_for_each_sentence():
    """The words of a synthesizer come without the marks between them; one that is read otherwise leaves the pieces."""
    pieces = [Segment("Oh, “no”! A", 0.0, 2.0), Segment("bad cat.", 2.0, 3.0)]
    words = [Word(text, float(n), n + 0.5) for n, text in enumerate(["Oh", "no", "A", "bad", "cat"])]
    cues = [(s.text, s.start_s, s.end_s) for s in of_speech(pieces, words).segments]
    assert cues == [("Oh, “no”! ", 0.0, 1.5), ("A bad cat.", 2.0, 4.5)]
    assert of_speech(pieces, []).segments == of_speech(pieces, [Word("naught", 0.0, 1.0)] * 2).segments == tuple(pieces)
    srt = dict(render(of_speech(pieces, words), "srt", Layout(max_words_per_line=2)))["srt"]
    assert srt.split("\n\n")[1] == "2\n00:00:02,000 --> 00:00:03,500\nA bad"
