"""Run the command line as its users do: in a process of its own."""

import os
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


HEAVY = {"torch", "mlx", "numpy", "transformers", "spacy", "huggingface_hub", "soundfile", "matplotlib", "rich"}


def assert_quick_help(*arguments: str) -> None:
    """The help page stands there with an example, and nothing that takes long was imported for it."""
    done = run(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})  # one line on stderr for each module
    trace, said = [], []
    for line in done.stderr.decode().splitlines():
        (trace if line.startswith("import time:") else said).append(line)
    assert done.returncode == 0 and b"Example" in done.stdout and not said, said
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in trace}
    assert "pytorch_to_mlx" in imported and not imported & HEAVY, imported & HEAVY
