"""Run suites, each case in a process of its own, and keep every result on disk: a run that stops is continued later."""

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
from .results import STEPS, SUITES, Coverage, append, read
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
    """Measure the cases that the folder `results` does not hold yet, and return all that it holds then.

    only: names of cases, which are measured again if `results` holds them. failed: measure again what does not pass.
    processes: cases at a time. limit: the most samples of each op, for a quick look; by default all are measured.
    timeout_s: CPU seconds for a case. within_s: start no further case after this many seconds.
    Raises: UsageError for an unknown suite or case.
    """
    if unknown := set(suites) - set(SUITES):
        raise UsageError(f"no suite {sorted(unknown)[0]!r}", fix=f"suites: {', '.join(SUITES)}")
    results.mkdir(parents=True, exist_ok=True)
    earlier = read(results)
    end = time.monotonic() + within_s
    stamp = {"commit": commit(), "versions": versions(PACKAGES)}
    missing = set(only)
    for suite in suites:
        preload(suite)
        all_cases = names(suite)
        if earlier.sizes.get(suite) != len(all_cases):
            append(results, suite, {"cases": len(all_cases)})
        settled = {case["name"] for case in earlier.suites.get(suite, []) if case["ok"] or not failed}
        selected = set(all_cases) & set(only) if only else set(all_cases) - settled
        missing -= selected
        for case in track(
            _measure_all(suite, sorted(selected, key=_hash), processes, limit, timeout_s, end),
            f"coverage: {suite}",
            len(selected),
        ):
            append(results, suite, case | stamp)
    if missing:
        raise UsageError(f"no case {sorted(missing)[0]!r} in {', '.join(suites)}", fix="names: docs/coverage.md")
    return read(results)


def _measure_all(
    suite: str, cases: list[str], processes: int, limit: int | None, timeout_s: int, end: float
) -> Iterator[dict[str, Any]]:
    """Yield the results as they come, `processes` cases at a time; no case starts after `end`."""

    def measure_in_time(name: str) -> dict[str, Any] | None:
        return measure_case(suite, name, limit, timeout_s) if time.monotonic() < end else None

    with ThreadPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(measure_in_time, name) for name in cases]):
            if (case := future.result()) is not None:
                yield case


def commit() -> str | None:
    """Return the commit of this source, with a + if the code of codegen or of the suites differs; None without git."""
    here = Path(__file__).parent
    code = (str(here), str(here.parent.parent / "codegen"))
    try:
        revision, changes = [
            subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short=9", "HEAD"), ("status", "--porcelain", "--", *code))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + "+" * bool(changes)


def _hash(name: str) -> str:
    """Return the key of the order of measuring: the cases of a run that stops early are a fair sample."""
    return hashlib.sha256(name.encode()).hexdigest()[1:]


def measure_case(
    suite: str,
    name: str,
    limit: int | None,
    timeout_s: int,
    memory_gib: int = MEMORY_GIB,
    measure: Callable[..., dict[str, Any]] = measure,
) -> dict[str, Any]:
    """Measure one case in a process of its own: a crash, a hang or a lack of memory fails that case and no other.

    The process is forked from a server that has imported the packages and has no threads: not from this one, whose
    threads may hold locks.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTS, *IMPORTS_OF.get(suite, ())])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        child = context.Process(target=_child, args=(suite, name, limit, output, timeout_s, memory_gib, measure))
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
    measure: Callable[..., dict[str, Any]],
) -> None:
    """Measure a case within limits of memory and CPU time; the result goes into `output`, what is printed beside it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_gib << 30, memory_gib << 30))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + timeout_s, used + timeout_s + 5))
    os.environ |= {"MLX_ENABLE_TF32": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    log = os.open(output.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    start = time.perf_counter()
    preload(suite)
    case = measure(suite, name, limit)
    case["total_s"] = round(time.perf_counter() - start, 2)
    case["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    output.write_text(json.dumps(case))


def _failed(suite: str, name: str, why: str) -> dict[str, Any]:
    common = {"name": name, "ok": False, "reason": why}
    return common | ({"samples": 1, "passed": 0} if suite == "ops" else dict.fromkeys(STEPS, False))
