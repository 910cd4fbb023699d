"""Progress on stderr, in a terminal and without one; results stay on stdout."""

import os
import pty
import re
import subprocess
import sys

import pytest
from command import ROOT

from pytorch_to_mlx.cli import progress_bar
from pytorch_to_mlx.cli.progress_bar import ProgressBar


def run_in_terminal(program: str) -> tuple[str, str]:
    """Run a program whose stderr alone is a terminal: what it wrote to stdout, and to the terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as terminal:
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT)
        os.close(theirs)
        shown = b""
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:
            pass  # the last holder of the other end is gone
        out, _ = child.communicate(timeout=600)
    assert child.returncode == 0, shown
    return out.decode(), shown.decode()


def test_results_go_to_stdout_while_a_bar_is_drawn():
    """`transcribe a.wav > a.txt` in a terminal: rich's bars take stdout over, and the file stayed empty."""
    program = "from pytorch_to_mlx.cli.progress_bar import ProgressBar\n"
    out, shown = run_in_terminal(program + "for n in ProgressBar().track(range(3), 'working [on]', 3): print(n)")
    assert out == "0\n1\n2\n" and "working [on]" in shown


def test_seconds_of_audio_and_an_estimate_after_the_first_part():
    """A third is done after at least 0.5 s, so the rest takes at least 1 s; rich's own needs two parts."""
    program = (
        "import time\nfrom pytorch_to_mlx.cli.progress_bar import ProgressBar\n"
        "with ProgressBar().measure('hearing a.wav', 90.0) as move_to: time.sleep(0.5); move_to(30.0)"
    )
    out, shown = run_in_terminal(program)
    assert out == "" and re.search(r"hearing a\.wav .*30 of 90 s of audio, ETA 0:00:0[1-9]", shown)


@pytest.mark.parametrize(("seconds", "n_lines"), [(0, 2), (600, 0)])
def test_without_a_terminal_a_line_now_and_then(monkeypatch, capsys, seconds, n_lines):
    monkeypatch.setattr(progress_bar, "SECONDS_PER_LINE", seconds)
    with ProgressBar().measure("hearing", 60.0) as move_to:
        for position_s in (0.0, 30.0, 60.0):
            move_to(position_s)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == n_lines and lines[:1] == ["hearing: 30 of 60 s of audio, ETA 0:00:00"][:n_lines]
