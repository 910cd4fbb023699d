"""A command's text comes from the argument, from a file, or from stdin."""

import io
import sys
from pathlib import Path

import pytest

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.text import read
from pytorch_to_mlx.text.read import choose_text, read_text


def test_an_argument_is_the_text():
    assert read_text("Hello.", None) == "Hello."
    assert read_text("", None) == ""
    assert read_text(None, None) is None


def test_a_file_is_read_as_utf8_with_or_without_a_mark(tmp_path):
    (tmp_path / "a.txt").write_text("Grüße, 世界\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Grüße, 世界\n", encoding="utf-8-sig")
    assert read_text(None, tmp_path / "a.txt") == read_text(None, tmp_path / "b.txt") == "Grüße, 世界\n"


@pytest.mark.parametrize("arguments", [("-", None), (None, Path("-"))])
def test_a_dash_is_stdin(monkeypatch, arguments):
    text, file = arguments
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe\n"))
    assert read_text(text, file) == "from a pipe\n"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="stdin is closed"):
        read_text(text, file)


def test_too_long_a_text_is_not_read_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(read, "MAX_CHARACTERS", 5)
    (tmp_path / "long.txt").write_text("0123456789")
    assert read_text(None, tmp_path / "long.txt") == "012345"
    monkeypatch.setattr(sys, "stdin", io.StringIO("0123456789"))
    assert read_text("-", None) == "012345"


def test_what_cannot_be_read_is_one_error(tmp_path):
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(FormatError, match=r"latin1\.txt: not UTF-8 text; save it"):
        read_text(None, tmp_path / "latin1.txt")
    for path in (tmp_path / "none.txt", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_text(None, path)


def test_a_text_is_an_argument_or_an_option_or_comes_through_a_pipe(monkeypatch, tmp_path):
    assert choose_text("Hi", None) == choose_text(None, "Hi") == "Hi"
    with pytest.raises(UsageError, match="given twice"):
        choose_text("Hi", "Hello")
    (tmp_path / "a.txt").write_text("from a file")
    with (tmp_path / "a.txt").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert choose_text(None, None) == "-" and choose_text(None, None, None) == "-"
        assert choose_text(None, None, Path("b.txt")) is None
    for no_file in (None, io.StringIO("typed"), open("/dev/null")):
        monkeypatch.setattr(sys, "stdin", no_file)
        assert choose_text(None, None) is None
    no_file.close()
