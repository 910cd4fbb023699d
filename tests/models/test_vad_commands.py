"""`vad detect` as it is printed, and several recordings."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.cli.output import show
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.vad import commands, pipeline
from pytorch_to_mlx.tasks import Span, VoiceActivity


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("text", "   start s      end s\n     0.994   1234.568\n  2000.000   2000.500\n"),
        ("tsv", "start\tend\n994\t1234568\n2000000\t2000500\n"),
        ("rttm", "SPEAKER my_talk 1 0.994 1233.574 <NA> <NA> speech <NA> <NA>\n"
                 "SPEAKER my_talk 1 2000.000 0.500 <NA> <NA> speech <NA> <NA>\n"),
        ("srt", "1\n00:00:00,994 --> 00:20:34,568\nspeech\n\n2\n00:33:20,000 --> 00:33:20,500\nspeech\n\n"),
        ("json", '{"audio": "my talk.wav", "duration_s": 2001.0, "segments": '
                 '[{"start_s": 0.994, "end_s": 1234.568}, {"start_s": 2000.0, "end_s": 2000.5}]}\n'),
    ],
)  # fmt: skip
def test_a_row_for_each_stretch(tmp_path, monkeypatch, capsys, output_format, expected):
    """All stretches stood in one cell, cut to four digits. RTTM: ten fields, as NIST defines them."""
    spans = (Span(0.994, 1234.5678), Span(2000.0, 2000.5))
    found = VoiceActivity(spans, 2001.0, np.zeros(3, np.float32), 0.032)
    monkeypatch.setattr(pipeline, "load", lambda path: SimpleNamespace(detect=lambda audio, **_: found))
    monkeypatch.chdir(tmp_path)
    Path("my talk.wav").write_bytes(b"")
    show(commands.detect(["my talk.wav"], output_format=output_format), as_json=False)
    assert capsys.readouterr().out == expected


def test_a_bad_recording_does_not_stop_the_rest(tmp_path, capsys):
    path = wav.write(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    (tmp_path / "b.wav").write_bytes(b"not audio")
    result = commands.detect([str(path), str(tmp_path / "b.wav"), str(path)])
    assert sum("==>" in line for line in result.lines()) == 2
    with pytest.raises(FormatError, match="1 of 3 recordings failed"):
        result.check()
    with pytest.raises(UsageError, match="there is no such file"):
        commands.detect(["nothere.wav"])


def test_stretches_become_files(tmp_path, monkeypatch):
    spans = (Span(0.25, 0.5), Span(1.0, 1.75))
    activity = VoiceActivity(spans, 2.0, np.zeros(3, np.float32), 0.032)
    monkeypatch.setattr(pipeline, "load", lambda path: SimpleNamespace(detect=lambda audio, **_: activity))
    samples = np.linspace(-0.5, 0.5, 16000, dtype=np.float32)
    path = wav.write(tmp_path / "my talk.wav", samples, 8000)
    [entry] = commands.detect([str(path)], split=tmp_path / "out").to_dict()
    assert [Path(file).name for file in entry["files"]] == ["my talk-001.wav", "my talk-002.wav"]
    second, rate = wav.read(entry["files"][1])
    assert rate == 8000 and np.abs(second - samples[8000:14000]).max() < 1e-4
    with pytest.raises(UsageError, match="exists already"):
        commands.detect([str(path)], split=tmp_path / "out")
    assert commands.detect([str(path)], split=tmp_path / "out", force=True).to_dict()[0]["files"] == entry["files"]
    with pytest.raises(UsageError, match="would both be written"):
        commands.detect([str(path), str(wav.write(tmp_path / "MY TALK.flac", samples, 8000))], split=tmp_path / "new")
