"""Run suites, case by case in processes of their own, and keep every result on disk: a run that stops goes on later."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...progress import track
from .modules import STEPS
from .suites import SUITES, measure, names, preload

TIMEOUT_S = 120  # of CPU time
MEMORY_GIB = 12


@dataclass
class Coverage:
    """All results, by suite."""

    suites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {suite: {"summary": summarize(suite, cases), "cases": cases} for suite, cases in self.suites.items()}

    def rows(self) -> list[dict[str, Any]]:
        """A line for each suite."""
        return [{"suite": suite} | summarize(suite, cases) for suite, cases in self.suites.items()]

    def summary(self) -> str:
        """Every case that is not right, with its reason."""
        lines = []
        for suite, cases in self.suites.items():
            lines += [f"{suite} {case['name']}: {reason(case)}" for case in cases if not case["ok"]]
        return "\n".join(lines)


def run(
    suites: Sequence[str] = SUITES,
    *,
    results: Path,
    only: Sequence[str] = (),
    limit: int | None = None,
    timeout_s: int = TIMEOUT_S,
) -> Coverage:
    """Measure the cases that `results` does not hold yet, and gather all.

    only: names of cases. limit: at most so many samples of each op, for a quick look; the full figure has none.
    """
    if unknown := set(suites) - set(SUITES):
        raise UsageError(f"no suite {sorted(unknown)[0]!r}", fix=f"suites: {', '.join(SUITES)}")
    results.mkdir(parents=True, exist_ok=True)
    for suite in suites:
        preload(suite)
        cases = [name for name in names(suite) if not only or name in only]
        for name in track(cases, f"coverage: {suite}"):
            path = results / f"{suite}-{_slug(name)}.json"
            if not path.is_file():
                path.write_text(json.dumps(one_case(suite, name, limit, timeout_s)))
    return gather(results, suites, only)


def one_case(suite: str, name: str, limit: int | None, timeout_s: int, memory_gib: int = MEMORY_GIB) -> dict[str, Any]:
    """One case in a process of its own: a crash, a hang or a lack of memory costs one case, and the result says so.

    The process is forked, so that the seconds it takes to import the packages are paid once.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        child = context.Process(target=_child, args=(suite, name, limit, output, timeout_s, memory_gib))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that forking is unsafe with threads: none is running
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


def _child(suite: str, name: str, limit: int | None, output: Path, timeout_s: int, memory_gib: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_gib << 30, memory_gib << 30))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + timeout_s, used + timeout_s + 5))
    os.environ |= {"MLX_ENABLE_TF32": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    said = os.open(output.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    start = time.perf_counter()
    found = measure(suite, name, limit)
    found["total_s"] = round(time.perf_counter() - start, 2)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    output.write_text(json.dumps(found))


def _failed(suite: str, name: str, why: str) -> dict[str, Any]:
    common = {"name": name, "ok": False, "reason": why}
    return common | ({"samples": 1, "right": 0} if suite == "ops" else dict.fromkeys(STEPS, False))


def gather(results: Path, suites: Iterable[str], only: Sequence[str] = ()) -> Coverage:
    """The results on disk."""
    found = Coverage()
    for suite in suites:
        cases = []
        for name in names(suite):
            path = results / f"{suite}-{_slug(name)}.json"
            if (not only or name in only) and path.is_file():
                cases.append(json.loads(path.read_text()))
        found.suites[suite] = cases
    return found


def summarize(suite: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of a suite."""
    total, right = len(cases), sum(case["ok"] for case in cases)
    summary: dict[str, Any] = {"cases": total, "right": right, "share": f"{100 * right / max(total, 1):.1f} %"}
    if suite == "ops":
        samples = sum(case["samples"] for case in cases)
        good = sum(case["right"] for case in cases)
        return summary | {"samples": samples, "samples right": good}
    for step in STEPS:
        summary[step] = sum(bool(case.get(step)) for case in cases)
    times = [
        sum(case["seconds"].get(key, 0) for key in ("capture", "generate")) for case in cases if case.get("converted")
    ]
    summary["median conversion, s"] = round(statistics.median(times), 1) if times else None
    return summary


def reason(case: dict[str, Any]) -> str:
    """Why a case is not right, in one line."""
    if "samples" in case:
        reasons = case.get("reasons") or {case.get("reason", ""): 1}
        return f"{case['right']} of {case['samples']} samples; " + "; ".join(
            f"{n}× {why}" for why, n in list(reasons.items())[:3]
        )
    return case.get("reason") or "only one size could be tried"


def _slug(name: str) -> str:
    clean = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return clean if clean == name else f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
