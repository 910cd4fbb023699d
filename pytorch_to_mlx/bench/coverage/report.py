"""What coverage runs found: one JSON line for each case on disk, and the table for docs/. Needs no torch."""

import json
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEPS = ("built", "exported", "converted", "matched", "dynamic")
SUITES = ("ops", "huggingface", "timm", "packages", "cost", "runtime")
TITLES = {
    "ops": "PyTorch's own op samples (OpInfo, every float32 CPU sample)",
    "huggingface": "Hugging Face: model types whose sha256 begins with an even digit, made tiny",
    "timm": "timm: module families chosen the same way",
    "packages": "Modules of other packages",
    "cost": "Cost of converting models of about 100M parameters, with the proof of every submodule",
    "runtime": "Run time of generated source, beside PyTorch and the hand-written port",
}
SIDES = ("generated", "patched", "port")
LISTED = 12  # reasons of a suite in the page
ROUGH = 1e-3


@dataclass
class Coverage:
    """All results, by suite. sizes: how many cases a suite has, measured or not."""

    suites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            suite: {"summary": summarize(suite, cases, self.sizes.get(suite, len(cases))), "cases": cases}
            for suite, cases in self.suites.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """A line for each suite."""
        return [
            {"suite": suite} | summarize(suite, cases, self.sizes.get(suite, len(cases)))
            for suite, cases in self.suites.items()
        ]

    def summary(self) -> str:
        """Every case that is not right, with its reason."""
        lines = []
        for suite, cases in self.suites.items():
            lines += [f"{suite} {case['name']}: {reason(case)}" for case in cases if not case["ok"]]
        return "\n".join(lines)


def results_file(folder: Path, suite: str) -> Path:
    return folder / f"{suite}.jsonl"


def append(folder: Path, suite: str, case: dict[str, Any]) -> None:
    with results_file(folder, suite).open("a", encoding="utf-8") as file:
        file.write(json.dumps(case) + "\n")


def read(folder: Path) -> Coverage:
    """The results on disk. The last line of a case counts; the line with "cases" says how many a suite has."""
    found = Coverage()
    for suite in SUITES:
        path = results_file(folder, suite)
        if not path.is_file():
            continue
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        cases = {line["name"]: line for line in lines if "name" in line}
        found.suites[suite] = [cases[name] for name in sorted(cases)]
        found.sizes[suite] = max([line["cases"] for line in lines if "cases" in line], default=len(cases))
    return found


def summarize(suite: str, cases: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Counts of a suite."""
    total, right = len(cases), sum(case["ok"] for case in cases)
    summary: dict[str, Any] = {"cases": size, "measured": total, "right": right}
    summary["of measured"] = f"{100 * right / max(total, 1):.1f} %"
    if suite == "ops":
        samples = sum(case["samples"] for case in cases)
        return summary | {"samples": samples, "samples right": sum(case["right"] for case in cases)}
    if suite in ("cost", "runtime"):
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
    """Why a case is not right, in one line."""
    if "samples" in case:
        reasons = case.get("reasons") or {case.get("reason", ""): 1}
        return f"{case['right']} of {case['samples']} samples; " + "; ".join(
            f"{n}× {why}" for why, n in list(reasons.items())[:3]
        )
    return case.get("reason") or "only one size could be tried"


def page(coverage: Coverage) -> str:
    """The table for docs/, and below it every case that is not right."""
    lines = [
        "# Coverage of the converter",
        "",
        "Written from `benchmarks/coverage` by `make docs`. `pytorch-to-mlx benchmark coverage --output "
        "benchmarks/coverage` measures what that folder does not hold yet and adds it. "
        "A case is right if the generated source agrees with PyTorch in float64 to max(1e-5 relative, 2 × PyTorch "
        "float32's own error) at two input sizes, on outputs that are not degenerate; whatever fails on the way "
        "counts as failed. Text-and-image models are run on the first inputs that they accept, often text alone. "
        "The last result of each case counts; below each table stands when its cases were measured. Conversion times "
        "are CPU time.",
        "",
    ]
    for suite, cases in coverage.suites.items():
        size = coverage.sizes.get(suite, len(cases))
        counts = summarize(suite, cases, size)
        lines += [f"## {TITLES[suite]}", "", "| " + " | ".join(counts) + " |", "|" + "---|" * len(counts)]
        lines += ["| " + " | ".join(str(value) for value in counts.values()) + " |", ""]
        lines += [origins(cases), ""]
        lines += rough(cases)
        if suite == "cost":
            lines += costs(cases)
        if suite == "runtime":
            lines += times(cases)
        if size > len(cases):
            lines += [f"{size - len(cases)} cases are not measured yet; the measured ones are the first in the order "
                      "of their hashes.", ""]  # fmt: skip
        wrong = [case for case in cases if not case["ok"]]
        if suite != "ops" and wrong:
            common = Counter(_kind(reason(case)) for case in wrong).most_common(LISTED)
            lines += ["| commonest reasons | cases |", "|---|---|"]
            lines += [f"| {_cell(why)} | {count} |" for why, count in common]
            lines += [""]
        if wrong:
            lines += ["| not right | why |", "|---|---|"]
            lines += [f"| {case['name']} | {_cell(reason(case))[:200]} |" for case in wrong]
            lines += [""]
    return "\n".join(lines)


def costs(cases: list[dict[str, Any]]) -> list[str]:
    """A line for each conversion. The peak is of the whole process, PyTorch and MLX included."""
    lines = [
        "| model | parameters | seconds | CPU s | peak memory, MiB | times the weights |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases:
        if "cpu_s" in case:
            ratio = case["peak_mib"] / case["weights_mib"]
            lines += [
                f"| {case['name']} | {case['parameters']:,} | {case['wall_s']:.1f} | {case['cpu_s']:.1f} | "
                f"{case['peak_mib']:,} | {ratio:.2f} |"
            ]
    return [*lines, ""]


def times(cases: list[dict[str, Any]]) -> list[str]:
    """A line for each module: medians of one process, all sides taking turns; ratios to PyTorch."""
    lines = [
        "Milliseconds of a call, in brackets how many times as fast as PyTorch. Generated source runs on the fast BLAS "
        "of `import pytorch_to_mlx.backend`, and with the CPU kernels under MLX's functions by `patch_mlx()`.",
        "",
        "| module | PyTorch | generated | generated, patch_mlx | port |",
        "|---|---|---|---|---|",
    ]
    for case in cases:
        if took := case.get("milliseconds"):
            cells = [f"{took[side]:.1f} ({took['torch'] / took[side]:.2f})" if side in took else "" for side in SIDES]
            lines += [f"| {case['name']} | {took['torch']:.1f} | " + " | ".join(cells) + " |"]
    return [*lines, ""]


def origins(cases: list[dict[str, Any]]) -> str:
    """At which commits and with which packages the cases of a suite were measured."""
    counts = Counter(
        f"at {case['commit'] or 'an unknown commit'} ("
        + ", ".join(f"{package} {number}" for package, number in case["versions"].items())
        + ")"
        if "versions" in case
        else "before commits and versions were noted (with PyTorch 2.13.0, in part 2.14.1)"
        for case in cases
    )
    return "Measured: " + "; ".join(f"{count} cases {where}" for where, count in counts.most_common()) + "."


def rough(cases: list[dict[str, Any]]) -> list[str]:
    """Which right cases prove less than others, if any."""
    names = [case["name"] for case in cases if case["ok"] and _own_error(case) > ROUGH]
    if not names:
        return []
    what = f"In {len(names)} of the right cases PyTorch's own float32 result is off by more than {ROUGH:.1%}"
    return [f"{what}, and agreement says less: most choose the best of many. They are {', '.join(names)}.", ""]


def _own_error(case: dict[str, Any]) -> float:
    """The largest relative error of PyTorch's float32 outputs against its float64 ones."""
    return max((one.get("torch_float32_error", 0) for one in case.get("errors", [])), default=0)


def _kind(why: str) -> str:
    """A reason without what is particular to one case."""
    for start in (
        "not built",
        "took longer",
        "the process ended",
        "no size is dynamic",
        "the original takes no other size",
    ):
        if why.startswith(start):
            return start
    what = re.sub(r"^(\w+: )?\S+\.py:\d+( \(in module \S+\))?: |^FormatError: ", "", why)
    return re.sub(r"(cannot capture) \w+", r"\1 it", what).split("; ")[0][:70]


def _cell(text: str) -> str:
    short = text.split("/site-packages/")[-1] if "/site-packages/" in text else text
    return short.replace("|", "\\|").replace("\n", " ")
