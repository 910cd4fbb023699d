"""Run suites, case by case in processes of their own, and keep every result on disk: a run that stops goes on later."""

import hashlib
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...progress import track
from ...version import versions
from .report import STEPS, SUITES, Coverage, append, read
from .suites import IMPORTS, IMPORTS_OF, measure, names, preload

TIMEOUT_S = 300  # of CPU time; a virtual machine's speed differs by a factor of two from day to day
MEMORY_GIB = 12
PACKAGES = ("mlx", "torch", "transformers", "timm")  # whose versions a result notes


def run(
    suites: Sequence[str] = SUITES,
    *,
    results: Path,
    only: Sequence[str] = (),
    failed: bool = False,
    processes: int = 1,
    limit: int | None = None,
    timeout_s: int = TIMEOUT_S,
    within_s: float = math.inf,
) -> Coverage:
    """Measure the cases that `results` does not hold yet, and gather all.

    only: names of cases, which are measured again if `results` holds them. failed: measure again what is not right.
    processes: cases at a time. limit: at most so many samples of each op, for a quick look; the full figure has none.
    timeout_s: CPU seconds for a case. within_s: begin no further case after so many seconds.
    """
    if unknown := set(suites) - set(SUITES):
        raise UsageError(f"no suite {sorted(unknown)[0]!r}", fix=f"suites: {', '.join(SUITES)}")
    results.mkdir(parents=True, exist_ok=True)
    known = read(results)
    end = time.monotonic() + within_s
    stamp = {"commit": commit(), "versions": versions(PACKAGES)}
    missing = set(only)
    for suite in suites:
        preload(suite)
        every = names(suite)
        if known.sizes.get(suite) != len(every):
            append(results, suite, {"cases": len(every)})
        done = {case["name"] for case in known.suites.get(suite, []) if case["ok"] or not failed}
        asked = set(every) & set(only) if only else set(every) - done
        missing -= asked
        for case in track(
            _measured(suite, sorted(asked, key=_hash), processes, limit, timeout_s, end),
            f"coverage: {suite}",
            len(asked),
        ):
            append(results, suite, case | stamp)
    if missing:
        raise UsageError(f"no case {sorted(missing)[0]!r} in {', '.join(suites)}", fix="names: docs/coverage.md")
    return read(results)


def _measured(
    suite: str, waiting: list[str], processes: int, limit: int | None, timeout_s: int, end: float
) -> Iterator[dict[str, Any]]:
    def one(name: str) -> dict[str, Any] | None:
        return one_case(suite, name, limit, timeout_s) if time.monotonic() < end else None

    with ThreadPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(one, name) for name in waiting]):
            if (case := future.result()) is not None:
                yield case


def commit() -> str | None:
    """The commit of this source, with a + if it was changed since; None outside a repository."""
    here = Path(__file__).parent
    code = (str(here), str(here.parent.parent / "codegen"))
    try:
        said = [
            subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short=9", "HEAD"), ("status", "--porcelain", "--", *code))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + "+" * bool(said[1])


def _hash(name: str) -> str:
    """The order of measuring, so that the cases of a run that stops early are a fair sample."""
    return hashlib.sha256(name.encode()).hexdigest()[1:]


def one_case(
    suite: str,
    name: str,
    limit: int | None,
    timeout_s: int,
    memory_gib: int = MEMORY_GIB,
    measured: Callable[..., dict[str, Any]] = measure,
) -> dict[str, Any]:
    """One case in a process of its own: a crash, a hang or a lack of memory costs one case, and the result says so.

    The process is forked from a server that has imported the packages and has no threads: not from this one, whose
    threads may hold locks.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTS, *IMPORTS_OF.get(suite, ())])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        child = context.Process(target=_child, args=(suite, name, limit, output, timeout_s, memory_gib, measured))
        child.start()
        child.join(6 * timeout_s)
        if child.is_alive():
            child.kill()
            child.join()
        if not output.is_file() and child.exitcode in (-signal.SIGKILL, -signal.SIGXCPU):
            return _failed(suite, name, f"took longer than {timeout_s} s of CPU time")
        if output.is_file():
            return json.loads(output.read_text())
        last = (output.with_suffix(".txt").read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
        return _failed(suite, name, f"the process ended with {child.exitcode}: {last[:300]}")


def _child(
    suite: str,
    name: str,
    limit: int | None,
    output: Path,
    timeout_s: int,
    memory_gib: int,
    measured: Callable[..., dict[str, Any]],
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_gib << 30, memory_gib << 30))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + timeout_s, used + timeout_s + 5))
    os.environ |= {"MLX_ENABLE_TF32": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    said = os.open(output.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    start = time.perf_counter()
    preload(suite)
    found = measured(suite, name, limit)
    found["total_s"] = round(time.perf_counter() - start, 2)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    output.write_text(json.dumps(found))


def _failed(suite: str, name: str, why: str) -> dict[str, Any]:
    common = {"name": name, "ok": False, "reason": why}
    return common | ({"samples": 1, "right": 0} if suite == "ops" else dict.fromkeys(STEPS, False))
