"""Run the command line as its users do: in a process of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "pytorch_to_mlx"]


def run(*arguments: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess:
    """`pytorch-to-mlx ARGUMENTS`; keyword arguments go to subprocess.run."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    return subprocess.run([*COMMAND, *arguments], env=environment, **options)


def assert_quick_help(*arguments: str) -> None:
    """The help page stands there with an example after less than 0.5 s of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and b"Example" in done.stdout and done.stderr == b"", done.stderr.decode()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s < 0.5, f"{cpu_s:.2f} s of CPU time"
