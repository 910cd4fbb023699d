"""The op samples of all entries, by one worker process that is started again when an entry kills or blocks it.

Importing torch's op tests takes seconds, so a process of its own for each of 677 entries would cost an hour.
As a program (`python -m pytorch_to_mlx.codegen.coverage.op_run`) this file is the worker: names in, results out.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .op_samples import entries, entry_name, measure

TIMEOUT_S = 600


def run_entries(
    names: Iterable[str], *, limit: int | None = None, timeout_s: float = TIMEOUT_S
) -> Iterator[dict[str, Any]]:
    """One result per entry, in the order of `names` (see EntryResult.as_dict)."""
    worker: subprocess.Popen | None = None
    try:
        for name in names:
            worker = worker or _start(limit)
            answer = _ask(worker, name, timeout_s)
            if isinstance(answer, str):
                worker.kill()
                code = worker.wait()
                worker = None
                why = answer or f"the process ended with {code}"
                answer = {"name": name, "samples": 1, "right": 0, "reasons": {why: 1}, "ok": False}
            yield answer
    finally:
        if worker:
            worker.kill()
            worker.wait()


def _start(limit: int | None) -> subprocess.Popen:
    command = [sys.executable, "-m", __name__, *([str(limit)] if limit else [])]
    environment = os.environ | {"MLX_ENABLE_TF32": "0"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _ask(worker: subprocess.Popen, name: str, timeout_s: float) -> dict[str, Any] | str:
    """The result of an entry, or why there is none ("" if the process ended)."""
    assert worker.stdin and worker.stdout
    worker.stdin.write(f"{name}\n".encode())
    worker.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        if not selector.select(timeout_s):
            return f"took longer than {timeout_s:g} s"
    line = worker.stdout.readline()
    return json.loads(line) if line.endswith(b"\n") else ""


def run_all(results: Path, *, limit: int | None = None, only: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Every entry's result; those that the JSON-lines file `results` holds already are not measured again."""
    done = (
        {found["name"]: found for found in map(json.loads, results.read_text().splitlines())}
        if results.is_file()
        else {}
    )
    wanted = list(only) or [entry_name(entry) for entry in entries()]
    with results.open("a") as file:
        for found in run_entries([name for name in wanted if name not in done], limit=limit):
            done[found["name"]] = found
            file.write(json.dumps(found) + "\n")
            file.flush()
    return [done[name] for name in wanted]


def _work(limit: str = "") -> None:
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an op prints must not mix with the answers
    table = {entry_name(entry): entry for entry in entries()}
    for line in sys.stdin:
        found = measure(table[line.strip()], int(limit) if limit else None)
        answers.write(json.dumps(found.as_dict()) + "\n")
        answers.flush()


if __name__ == "__main__":
    _work(*sys.argv[1:])
