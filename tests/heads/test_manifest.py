"""Manifests: what is read, and how wrong lines are named."""

import json

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.heads.manifest import read_manifest
from pytorch_to_mlx.progress import listening


@pytest.fixture
def manifest(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(b"")

    def write(*rows):
        path = tmp_path / "data.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
        return path

    return write


def test_everything_that_a_line_can_say(manifest):
    row = {
        "audio": "a.wav", "text": "Press four.", "phonemes": "p ɹ ɛ s", "labels": {"language": "en"}, "f0": [0, 110.5],
        "spans": {"singing": [[0, 1.5, "speech"]]}, "speaker": "anna", "source": "core", "split": "dev",
        "sample_rate": 16000,
    }  # fmt: skip
    [clip, other], problems = read_manifest(manifest(row, "", {"audio": "b.wav", "id": "two", "phonemes": ["tʃ"]}))
    assert problems == [] and (clip.id, clip.line, clip.place) == ("a.wav", 1, "line 1 (a.wav)")
    assert (clip.text, clip.phonemes, clip.f0) == ("Press four.", ("p", "ɹ", "ɛ", "s"), (0, 110.5))
    assert clip.spans == {"singing": ((0, 1.5, "speech"),)} and clip.labels == {"language": "en"}
    assert (clip.speaker, clip.source, clip.split, clip.sample_rate) == ("anna", "core", "dev", 16000)
    assert (other.id, other.text, other.phonemes, other.speaker) == ("two", None, ("tʃ",), "")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("not json", "Expecting value"),
        ('["a"]', "an object is expected"),
        ({"text": "x"}, "'audio' is missing"),
        ({"audio": "none.wav"}, "there is no file 'none.wav'"),
        ({"audio": 3}, "'audio' is '3', not text"),
        ({"audio": "b.wav", "text": ["x"]}, "'text' is"),
        ({"audio": "b.wav", "split": "valid"}, "'split' is 'valid'"),
        ({"audio": "b.wav", "labels": {"language": 3}}, "'labels' is"),
        ({"audio": "b.wav", "labels": []}, "'labels' is"),
        ({"audio": "b.wav", "spans": {"singing": [[1, 0, "speech"]]}}, "'spans' is"),
        ({"audio": "b.wav", "f0": [-1]}, "'f0' is"),
        ({"audio": "b.wav", "f0": "110"}, "'f0' is"),
        ({"audio": "b.wav", "sample_rate": 16000.5}, "'sample_rate' is"),
        ({"audio": "a.wav"}, "the id 'a.wav' is that of line 1 too"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_lines_are_listed_and_the_rest_is_used(manifest, row, message):
    clips, problems = read_manifest(manifest({"audio": "a.wav"}, row, {"audio": "c.wav"}))
    assert [clip.id for clip in clips] == ["a.wav", "c.wav"]
    assert len(problems) == 1 and problems[0].startswith("line 2: ") and message in problems[0]


def test_keys_that_are_not_read_are_named(manifest):
    class Listener:
        notes: list[str] = []  # noqa: RUF012

        def note(self, text):
            self.notes.append(text)

    with listening(Listener()):
        read_manifest(manifest({"audio": "a.wav", "duration": 1, "txt": "x"}))
    assert Listener.notes[0].endswith("not read: 'duration', 'txt'")


def test_a_manifest_without_a_good_line(manifest, tmp_path):
    with pytest.raises(FormatError, match="no recording") as raised:
        read_manifest(manifest({"audio": "none.wav"}))
    assert raised.value.details == ("line 1: there is no file 'none.wav'",)
    with pytest.raises(FormatError, match="no recording"):
        read_manifest(manifest(""))
    with pytest.raises(FormatError, match="no such file"):
        read_manifest(tmp_path / "none.jsonl")
