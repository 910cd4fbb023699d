"""The results of coverage runs on disk: one JSON line for each case, and counts of each suite. Needs no torch."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUITES = ("ops", "huggingface", "timm", "packages", "cost", "runtime", "wild")
STEPS = ("built", "exported", "converted", "matched", "dynamic")
"""How far a module came, in order; see modules.ModuleResult."""


@dataclass
class Coverage:
    """All results, by suite. sizes: how many cases a suite has, measured or not."""

    suites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the cases of each suite, as JSON types."""
        return {
            suite: {"summary": summarize(suite, cases, self.sizes.get(suite, len(cases))), "cases": cases}
            for suite, cases in self.suites.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each suite."""
        return [
            {"suite": suite} | summarize(suite, cases, self.sizes.get(suite, len(cases)))
            for suite, cases in self.suites.items()
        ]

    def summary(self) -> str:
        """Return every case that does not pass, with its reason."""
        lines = []
        for suite, cases in self.suites.items():
            lines += [f"{suite} {case['name']}: {reason(case)}" for case in cases if not case["ok"]]
        return "\n".join(lines)


def results_file(folder: Path, suite: str) -> Path:
    """Return the file of one suite."""
    return folder / f"{suite}.jsonl"


def append(folder: Path, suite: str, case: dict[str, Any]) -> None:
    """Add one line to the file of a suite: a case, or the number of its cases."""
    with results_file(folder, suite).open("a", encoding="utf-8") as file:
        file.write(json.dumps(case) + "\n")


def read(folder: Path) -> Coverage:
    """Read the results on disk. The last line of a case counts; the line with "cases" says how many a suite has."""
    coverage = Coverage()
    for suite in SUITES:
        path = results_file(folder, suite)
        if not path.is_file():
            continue
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        cases = {line["name"]: line for line in lines if "name" in line}
        coverage.suites[suite] = [cases[name] for name in sorted(cases)]
        coverage.sizes[suite] = max([line["cases"] for line in lines if "cases" in line], default=len(cases))
    return coverage


def summarize(suite: str, cases: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Return the counts of a suite, under the headings of its table."""
    n_measured, n_passed = len(cases), sum(case["ok"] for case in cases)
    summary: dict[str, Any] = {"cases": size, "measured": n_measured, "passed": n_passed}
    summary["of measured"] = f"{100 * n_passed / max(n_measured, 1):.1f} %"
    if suite == "ops":
        samples = sum(case["samples"] for case in cases)
        return summary | {"samples": samples, "samples passed": sum(case["passed"] for case in cases)}
    if suite in ("cost", "runtime", "wild"):
        return summary
    for step in STEPS:
        summary[step] = sum(bool(case.get(step)) for case in cases)
    times = [
        sum(case["seconds"].get(key, 0) for key in ("capture", "generate"))
        for case in cases
        if case.get("converted") and case.get("clock") == "cpu"
    ]
    summary["median conversion, CPU s"] = round(statistics.median(times), 1) if times else None
    return summary


def reason(case: dict[str, Any]) -> str:
    """Return why a case does not pass, in one line."""
    if "samples" in case:
        reasons = case.get("reasons") or {case.get("reason", ""): 1}
        return f"{case['passed']} of {case['samples']} samples; " + "; ".join(
            f"{n}× {why}" for why, n in list(reasons.items())[:3]
        )
    return case.get("reason") or "only one size could be tried"
