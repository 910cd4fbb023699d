"""The page of coverage results: docs/coverage.md. Needs no torch."""

import re
from collections import Counter
from typing import Any

from .results import Coverage, reason, summarize

TITLES = {
    "ops": "PyTorch's own op samples (OpInfo, every float32 CPU sample)",
    "huggingface": "Hugging Face: the development half of the model types, reduced",
    "timm": "timm: the development half of the module families",
    "packages": "Modules of other packages",
    "cost": "Cost of converting models of about 100M parameters, with the proof of every submodule",
    "runtime": "Run time of generated source, beside PyTorch and the hand-written port",
}
DEVELOPMENT_HALF = (
    "These are the names whose sha256 begins with an even hexadecimal digit. The converter is developed on them: what "
    "fails here is looked into and mended, so names that nobody looked at may fare worse. The other half is left out "
    "on purpose, for a figure on names that the converter was not developed on; no result of it is kept here."
)
NOTES = {
    "huggingface": f"{DEVELOPMENT_HALF} Each config is reduced as far as its model still runs; the weights are random.",
    "timm": "The half is chosen in the same way and for the same reason as that of Hugging Face's types.",
}
"""What stands below the title of a suite."""
SIDES = ("generated", "patched", "port")
KINDS = ("not built", "took longer", "the process ended", "no size is dynamic", "the original takes no other size")
"""Beginnings of reasons that differ from case to case after them."""
MOST_REASONS = 12
"""Reasons of a suite on the page."""
ROUGH = 1e-3
"""Relative error of PyTorch's own float32 result above which agreement says less."""


def page(coverage: Coverage) -> str:
    """Return the page: for each suite its counts, and below them every case that does not pass."""
    lines = [
        "# Coverage of the converter",
        "",
        "Written from `benchmarks/coverage` by `make docs`. `pytorch-to-mlx benchmark coverage --output "
        "benchmarks/coverage` measures what that folder does not hold yet and adds it. "
        "A case passes if the generated source agrees with PyTorch in float64 to max(1e-5 relative, 2 × PyTorch "
        "float32's own error) at two input sizes, on outputs that are not degenerate; whatever fails on the way "
        "counts as failed. Text-and-image models run on the first inputs that they accept, often text alone. "
        "The last result of each case counts; below each table are the commits and versions that its cases were "
        "measured with. Conversion times are CPU time.",
        "",
    ]
    for suite, cases in coverage.suites.items():
        if suite not in TITLES:  # it has a page of its own
            continue
        size = coverage.sizes.get(suite, len(cases))
        counts = summarize(suite, cases, size)
        lines += [f"## {TITLES[suite]}", ""]
        lines += [NOTES[suite], ""] if suite in NOTES else []
        lines += ["| " + " | ".join(counts) + " |", "|" + "---|" * len(counts)]
        lines += ["| " + " | ".join(str(value) for value in counts.values()) + " |", ""]
        lines += [origins(cases), ""]
        lines += rough_references(cases)
        if suite == "cost":
            lines += costs(cases)
        if suite == "runtime":
            lines += times(cases)
        if size > len(cases):
            lines += [f"{size - len(cases)} cases are not measured yet; the measured ones are the first in the order "
                      "of their hashes.", ""]  # fmt: skip
        failures = [case for case in cases if not case["ok"]]
        if suite != "ops" and failures:
            common = Counter(_kind(reason(case)) for case in failures).most_common(MOST_REASONS)
            lines += ["| commonest reasons | cases |", "|---|---|"]
            lines += [f"| {cell(why)} | {count} |" for why, count in common]
            lines += [""]
        if failures:
            lines += ["| failed | why |", "|---|---|"]
            lines += [f"| {case['name']} | {cell(reason(case))[:200]} |" for case in failures]
            lines += [""]
    return "\n".join(lines)


def costs(cases: list[dict[str, Any]]) -> list[str]:
    """Return a line for each conversion. The peak is of the whole process, PyTorch and MLX included."""
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
    """Return a line for each module: medians of one process, all sides interleaved; ratios to PyTorch."""
    lines = [
        "Milliseconds of a call, in brackets how many times as fast as PyTorch. Generated source runs on the fast BLAS "
        "of `import pytorch_to_mlx.backend`, and with the CPU kernels under MLX's functions by `patch_mlx()`.",
        "",
        "| module | PyTorch | generated | generated, patch_mlx | port |",
        "|---|---|---|---|---|",
    ]
    for case in cases:
        if times_ms := case.get("milliseconds"):
            cells = [
                f"{times_ms[side]:.1f} ({times_ms['torch'] / times_ms[side]:.2f})" if side in times_ms else ""
                for side in SIDES
            ]
            lines += [f"| {case['name']} | {times_ms['torch']:.1f} | " + " | ".join(cells) + " |"]
    return [*lines, ""]


def origins(cases: list[dict[str, Any]]) -> str:
    """Say at which commits and with which packages the cases of a suite were measured."""
    counts = Counter(
        f"at {case['commit'] or 'an unknown commit'} ("
        + ", ".join(f"{package} {number}" for package, number in case["versions"].items())
        + ")"
        if "versions" in case
        else "before commits and versions were noted (with PyTorch 2.13.0, in part 2.14.1)"
        for case in cases
    )
    return "Measured: " + "; ".join(f"{count} cases {where}" for where, count in counts.most_common()) + "."


def rough_references(cases: list[dict[str, Any]]) -> list[str]:
    """Name the passed cases that prove less than others because PyTorch's own result is rough, if any."""
    names = [case["name"] for case in cases if case["ok"] and _own_error(case) > ROUGH]
    if not names:
        return []
    what = f"In {len(names)} of the passed cases PyTorch's own float32 result is off by more than {ROUGH:.1%}"
    return [f"{what}, and agreement says less: most choose the best of many. They are {', '.join(names)}.", ""]


def _own_error(case: dict[str, Any]) -> float:
    """Return the largest relative error of PyTorch's float32 outputs against its float64 ones."""
    return max((size.get("torch_float32_error", 0) for size in case.get("errors", [])), default=0)


def _kind(why: str) -> str:
    """Return a reason without what is particular to one case."""
    for start in KINDS:
        if why.startswith(start):
            return start
    what = re.sub(r"^(\w+: )?\S+\.py:\d+( \(in module \S+\))?: |^FormatError: ", "", why)
    return re.sub(r"(cannot capture) \w+", r"\1 it", what).split("; ")[0][:70]


def cell(text: str) -> str:
    """Return a text as one cell of a table, with paths as they are imported."""
    short = text.split("/site-packages/")[-1] if "/site-packages/" in text else text
    return short.replace("|", "\\|").replace("\n", " ")
