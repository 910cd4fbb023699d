"""A module in a process of its own: its last line as JSON, or its last error."""

import pytest

from pytorch_to_mlx.bench.process import run_module
from pytorch_to_mlx.errors import CheckError


def test_the_last_line_is_the_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two_lines.py").write_text("import sys\nprint('a note')\nprint([1, len(sys.argv)])\n")
    assert run_module("two_lines", "--x", "y", what="ours") == [1, 3]


def test_a_process_that_fails_says_which_side_and_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fails.py").write_text("raise ValueError('no weights')\n")
    with pytest.raises(CheckError, match=r"torch failed in a process of its own \(exit 1\): ValueError: no weights"):
        run_module("fails", what="torch")
