"""Speech is delivered piece by piece as it is made, and the report adds it up."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.audio import playback, speak, wav
from pytorch_to_mlx.cli import output
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.tasks import Speech, Word

RATE = 16_000
TONE = np.sin(np.arange(24_000) / 20).astype(np.float32) / 2
PIECES = (
    Speech(TONE[:16_000], RATE, "One.", "wˈʌn", (Word("One.", 0.0, 1.0),), processing_s=0.25),
    Speech(TONE[16_000:], RATE, "Two.", "", (Word("Two.", 1.0, 1.5),), start_s=1.0, processing_s=0.05),
)


@pytest.fixture
def clock(monkeypatch):
    """perf_counter() that a test sets."""
    now = [100.0]
    monkeypatch.setattr(speak, "perf_counter", lambda: now[0])
    return now


def test_pieces_reach_the_file_and_the_speakers_before_the_next_is_made(tmp_path, monkeypatch):
    device = []

    class Player:
        def __init__(self, rate):
            assert rate == RATE

        def __enter__(self):
            return device.append

        def __exit__(self, *_):
            device.append("closed")

    def pieces():
        for number, piece in enumerate(PIECES):
            assert len(device) == number
            yield piece

    monkeypatch.setattr(playback, "player", Player)
    totals = speak.deliver(pieces(), RATE, output=tmp_path / "a.wav", format="wav", play=True)
    assert device.pop() == "closed"
    np.testing.assert_array_equal(np.concatenate(device), TONE)
    np.testing.assert_allclose(wav.read(tmp_path / "a.wav")[0], TONE, atol=1 / 32768)
    assert (totals.n_samples, totals.phonemes) == (24_000, ["wˈʌn"])
    assert [word.text for word in totals.words] == ["One.", "Two."]
    times = [(segment.text, segment.start_s, segment.end_s) for segment in totals.segments]
    assert times == [("One.", 0.0, 1.0), ("Two.", 1.0, 1.5)]


def test_the_report_adds_up(tmp_path, clock):
    def pieces():
        clock[0] = 105.0
        yield Speech(TONE[:0], RATE)  # no samples yet
        for number, piece in enumerate(PIECES):
            clock[0] = 106.5 + number
            yield piece

    totals = speak.deliver(pieces(), RATE, output=tmp_path / "a.flac", format="flac", play=False)
    report = speak.Synthesis.of(totals, start=101.0, loaded=104.0, path=tmp_path / "a.flac", model="tiny", voice="me")
    assert report.duration_s == 1.5 and report.load_s == 3.0 and report.first_audio_ms == 2500.0
    assert report.real_time_factor == pytest.approx(0.2)


def test_the_report_leaves_out_what_a_family_does_not_report():
    totals = speak.Totals(RATE, 8_000, 0.1, 12.0)
    common = {"path", "duration_s", "real_time_factor", "first_audio_ms", "load_s", "model", "sample_rate"}
    report = speak.Synthesis.of(totals, start=0.0, loaded=11.0, path=None, model="tiny")
    assert report.to_dict().keys() == common and report.to_dict()["path"] is None
    report = speak.Synthesis.of(
        totals, start=0.0, loaded=11.0, path=None, model="tiny", words=(), seconds={"flow": 0.1}
    )
    assert report.to_dict().keys() == common | {"words", "seconds"}
    assert report.to_dict()["words"] == ()


def test_the_command_line_prints_it(capsys):
    totals = speak.Totals(RATE, 8_000, 0.1, 12.0)
    report = speak.Synthesis.of(totals, start=0.0, loaded=11.0, path=Path("a.wav"), model="tiny", words=PIECES[0].words)
    output.show(report, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["path"] == "a.wav" and data["words"][0]["text"] == "One." and "voice" not in data
    output.show(report, as_json=False)
    assert "duration s: 0.500\n" in capsys.readouterr().out


def test_phonemes_are_for_json_only(capsys):
    totals = speak.Totals(RATE, 8_000, 0.1, 12.0)
    report = speak.Synthesis.of(totals, start=0.0, loaded=11.0, path=Path("a.wav"), model="tiny", phonemes="wˈʌn")
    output.show(report, as_json=True)
    assert json.loads(capsys.readouterr().out)["phonemes"] == "wˈʌn"
    output.show(report, as_json=False)
    assert "wˈʌn" not in capsys.readouterr().out


def test_no_audio_is_one_error_and_no_file(tmp_path):
    for pieces in ([], [Speech(TONE[:0], RATE)]):
        with pytest.raises(FormatError, match="no audio"):
            speak.deliver(pieces, RATE, output=tmp_path / "a.wav", format="wav", play=False)
    assert not list(tmp_path.iterdir())


def test_progress_counts_the_pieces(tmp_path):
    class Listener:
        def note(self, text):
            raise AssertionError(text)

        def track(self, items, what, total):
            self.bar = what, total
            yield from items

    listener = Listener()
    with listening(listener):
        speak.deliver(PIECES, RATE, output=tmp_path / "a.wav", format="wav", play=False, n_pieces=2)
    assert listener.bar == ("speaking", 2)


@pytest.mark.parametrize(
    ("name", "format", "play", "expected"),
    [
        (None, None, False, ("speech.wav", "wav")),
        (None, "flac", False, ("speech.wav", "flac")),
        (None, None, True, (None, None)),
        ("a.mp3", None, True, ("a.mp3", "mp3")),
        ("a.mp3", "ogg", False, ("a.mp3", "ogg")),
    ],
)
def test_destination(name, format, play, expected):
    path, chosen = speak.destination(name and Path(name), format, play)
    assert (path and str(path), chosen) == expected


def test_an_unknown_format_is_refused_before_anything_is_made():
    with pytest.raises(UsageError, match="m4a"):
        speak.destination(Path("a.m4a"), None, False)


def test_importing_it_is_cheap():
    code = (
        "import sys, pytorch_to_mlx.audio.speak; print([m for m in ('numpy', 'mlx', 'soundfile') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
