"""What is printed: nothing that steers a terminal, JSON that is JSON, tables that fit a pipe."""

import json
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from pytorch_to_mlx.cli.output import error, plain, printable, show


@dataclass(frozen=True)
class Thing:
    name: str
    path: Path
    sizes: tuple[int, ...]
    score: float
    audio: object = None
    rest: object = None


def test_control_characters_are_shown_not_sent(capsys):
    assert printable("a\x1b[31m\r\x07\ud800é…\n") == "a\\x1b[31m\\r\\x07\\ud800é…\n"
    error("bad \x1b]0;title\x07", 4)
    show({"name\x1b": "value\x1b[2J"}, as_json=False)
    show([{"col\x1b": "\x1b[2J"}], as_json=False)
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and err == "error: bad \\x1b]0;title\\x07\n"


def test_json_of_a_dataclass(capsys):
    thing = Thing("x", Path("a/b"), (1, 2), float("inf"), np.zeros(5000, np.float32), [mx.array([1, 2]), np.float32(3)])
    show(thing, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "name": "x",
        "path": "a/b",
        "sizes": [1, 2],
        "score": None,
        "audio": {"shape": [5000], "dtype": "float32"},
        "rest": [[1, 2], 3.0],
    }


def test_text_of_a_result(capsys):
    show({"a_b": 1.23456789, "yes": True, "none": None, "pairs": [["x", 1], ["y", 2]]}, as_json=False)
    assert capsys.readouterr().out == "a b: 1.235\nyes: yes\npairs:\n  x; 1\n  y; 2\n"


def test_times_have_three_decimals_and_nothing_an_exponent(capsys):
    """A stretch after 1000 s was cut to whole seconds, 14.5 s printed as 1.451e+04 ms."""
    show({"first_audio_ms": 14_512.34, "load_s": 7.8, "parts": [{"start_s": 1234.5678, "n": 20_000.0}]}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["first audio ms: 14512", "load s: 7.800"] and lines[-1].split() == ["1234.568", "20000"]


def test_table_in_a_pipe_wraps_its_words(capsys):
    """A note of 600 characters made a line of 600; at 120 every word still stands there whole."""
    words = [f"word{number}" for number in range(90)]
    show([{"name": "n" * 30, "note": " ".join(words)}], as_json=False)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 120 and out.split()[-90:] == words


def test_table_in_a_pipe_is_not_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    show([{"name": "n" * 300, "size": 1}, {"name": "m", "other": "[bold]"}], as_json=False)
    out = capsys.readouterr().out
    assert "n" * 300 in out and "[bold]" in out and len(out.strip().splitlines()) == 4


def test_path_is_a_line(capsys):
    show(Path("a/b"), as_json=False)
    show("text", as_json=False)
    show(None, as_json=False)
    assert capsys.readouterr().out == "a/b\ntext\n"


def test_plain_takes_an_objects_own_dict():
    class Own:
        def to_dict(self):
            return {"x": {1: (2, frozenset([3]))}}

    assert plain(Own()) == {"x": {"1": [2, [3]]}}
