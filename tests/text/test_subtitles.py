"""The output formats against openai-whisper's writers."""

import io
import json

import pytest
from whisper.utils import WriteSRT, WriteTSV, WriteTXT, WriteVTT

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.tasks import Segment, Transcript, Word
from pytorch_to_mlx.text.subtitles import render, timestamp

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
    assert dict(render(TRANSCRIPT, name))[name] == file.getvalue()


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
