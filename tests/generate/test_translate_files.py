"""The command `translate`: texts, streams, and files that are gone on with."""

import json
from pathlib import Path

import pytest

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.generate.translate_files import Streamed, TranslatedFile, run_translate
from pytorch_to_mlx.tasks import Candidate, TranslatedSentence, Translation


class Upper:
    """Translates into capitals. stop_after: calls until it fails, as a killed run does."""

    def __init__(self, stop_after=None):
        self.calls, self.stop_after = [], stop_after

    def translate(self, text, /, **options):
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(text)
        return [self.one(t) for t in text] if isinstance(text, list) else self.one(text)

    def one(self, text):
        return Translation(
            text.upper(), text, sentences=(TranslatedSentence(text, (Candidate(text.upper(), 0.0, 0.0),)),)
        )

    def stream(self, text, /, **options):
        yield from (word.upper() + " " for word in text.split())


def run(translator, what=None, text=None, **options):
    defaults = {"file": None, "output": None, "stream": False, "force": False, "model": "toy", "options": {"n_best": 1}}
    return run_translate(lambda: translator, what, text, **{**defaults, **options})


def test_a_text():
    assert run(Upper(), "hello").text == "HELLO" and run(Upper(), text="hello").lines() == ("HELLO",)


def test_a_stream():
    result = run(Upper(), "hello there", stream=True)
    assert isinstance(result, Streamed) and list(result.pieces()) == ["HELLO ", "THERE "]
    assert run(Upper(), "hello", stream=True).to_dict() == {"text": "HELLO "}


def test_a_text_into_a_file(tmp_path):
    run(Upper(), "hello", output=tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "HELLO"


def lines(count=100):
    return "".join(f"line {n}\n\n" for n in range(count))


def test_a_file(tmp_path):
    """Line by line, with its line breaks, whichever they are."""
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(("one\r\ntwo\n\n  three" + "\n" + lines()).encode())
    result = run(Upper(), file=source, output=output)
    assert isinstance(result, TranslatedFile) and (result.resumed, result.is_complete) == (0, True)
    assert output.read_bytes().decode() == source.read_bytes().decode().upper()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_a_file_is_gone_on_with(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(lines())
    with pytest.raises(KeyboardInterrupt):
        run(Upper(stop_after=3), file=source, output=output)
    partial = tmp_path / "out.txt.partial"
    assert partial.is_file() and not output.exists()
    with partial.open("a") as file:
        file.write('{"n_done": 9')  # the run was killed while it wrote
    again = Upper()
    result = run(again, file=source, output=output)
    assert result.resumed == 96 and output.read_text() == lines().upper()
    assert "".join(t for call in again.calls for t in call) == "".join(lines().splitlines(keepends=True)[96:])
    assert not partial.exists()


@pytest.mark.parametrize("change", [{"options": {"n_best": 1, "beam_size": 4}}, {"model": "another"}, {"text": "x\n"}])
def test_another_input_begins_anew(tmp_path, change):
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(lines())
    with pytest.raises(KeyboardInterrupt):
        run(Upper(stop_after=2), file=source, output=output)
    if text := change.pop("text", None):
        source.write_text(text + lines())
    assert run(Upper(), file=source, output=output, **change).resumed == 0
    assert output.read_text() == source.read_text().upper()


def test_finished_files_that_were_not_written_need_no_model(tmp_path):
    """All parts are in the partial file: the model is not loaded again."""
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("one\n")
    about = {"model": "toy", "options": {"n_best": 1}, "sha256": __import__("hashlib").sha256(b"one\n").hexdigest()}
    entry = {"n_done": 1, "texts": ["ONE\n"], "repeats": True, "is_complete": False}
    (tmp_path / "out.txt.partial").write_text(json.dumps(about) + "\n" + json.dumps(entry) + "\n")
    result = run(None, file=source, output=output)
    assert output.read_text() == "ONE\n" and result.repeats and not result.is_complete


def test_a_partial_file_of_something_else(tmp_path):
    (tmp_path / "in.txt").write_text("one\n")
    (tmp_path / "out.txt.partial").write_text("my notes\n")
    with pytest.raises(FormatError, match=r"out\.txt\.partial: not a file that this command wrote"):
        run(Upper(), file=tmp_path / "in.txt", output=tmp_path / "out.txt")
    assert (tmp_path / "out.txt.partial").read_text() == "my notes\n"


SRT = "1\n00:00:01,000 --> 00:00:02,000\nHello there,\nmy friend.\n\n2\n00:00:03,000 --> 00:00:04,000\n\n"


def test_subtitles(tmp_path):
    """The lines of a cue are one text; it is broken into as many lines."""
    source, output = tmp_path / "in.srt", tmp_path / "out.srt"
    source.write_text(SRT)
    translator = Upper()
    run(translator, file=source, output=output)
    source.write_bytes(SRT.replace("\n", "\r\n").encode())
    run(Upper(), file=source, output=tmp_path / "dos.srt")
    assert (tmp_path / "dos.srt").read_bytes() == output.read_bytes().replace(b"\n", b"\r\n")
    assert output.read_text() == SRT.replace("Hello there,", "HELLO THERE,").replace("my friend.", "MY FRIEND.")
    assert translator.calls[0][0] == "Hello there, my friend."


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(what="a", text="b"), "given twice"),
        (dict(what="a", file=Path("x.txt")), "a text or --file"),
        (dict(file=Path("missing.txt")), "--file needs --output"),
        (dict(file=Path("missing.txt"), output=Path("out.txt")), r"missing\.txt: cannot be read"),
        (dict(what="a", stream=True, options={"n_best": 2}), "--stream prints one translation"),
        (dict(what="a", output=Path("here.txt")), r"here\.txt: exists already; add --force"),
        (dict(what="a", output=Path("no/such/folder.txt")), "cannot write"),
    ],
)
def test_wrong_use(tmp_path, monkeypatch, options, word):
    monkeypatch.chdir(tmp_path)
    Path("here.txt").write_text("mine")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match=word):
        run(Upper(), **options)
    assert Path("here.txt").read_text() == "mine"


def test_force(tmp_path):
    (tmp_path / "out.txt").write_text("old")
    run(Upper(), "new", output=tmp_path / "out.txt", force=True)
    assert (tmp_path / "out.txt").read_text() == "NEW"
