"""The page of the suite `wild`: docs/in_the_wild.md. Needs no torch."""

from typing import Any

from .report import cell, origins

INTRODUCTION = """# Code that no one here wrote

Public PyTorch repositories at one commit each, their code unchanged, through `pytorch_to_mlx.convert` as a user calls
it. A case is right if every submodule and every output agrees with PyTorch in float64 (max(1e-5 relative, 2 × PyTorch
float32's own error)) at all sizes listed, every dynamic axis was varied, and the original takes no other length on an
axis that the source fixes. Written from `benchmarks/coverage/wild.jsonl` by `make docs`;
`pytorch-to-mlx benchmark coverage --suite wild --output benchmarks/coverage` fetches the repositories into
`PYTORCH_TO_MLX_WILD`, by default a folder of the cache, runs their code, and adds what is not measured yet.

CPU seconds and peak memory are of the whole conversion with its proof. Milliseconds of one call at the largest size,
medians, both sides in turn in one process on all cores: PyTorch, then the source with `patch_mlx()` and in brackets how
many times as fast as PyTorch it is; blank where the machine was busy, which slows the two by different amounts.
"""


def wild_page(cases: list[dict[str, Any]]) -> str:
    """Return the page: a line for each repository, and below what a user writes and which sizes hold."""
    n_right = sum(case["ok"] for case in cases)
    if not cases:
        return f"{INTRODUCTION}\nNothing is measured yet."
    lines = [INTRODUCTION, f"{n_right} of {len(cases)} are right. {origins(cases)}", ""]
    lines += [
        "| repository | what it is | right | CPU s | MiB | PyTorch, ms | ours, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(case) for case in cases]
    for case in cases:
        lines += ["", f"## {case['name']}", "", *_details(case)]
    return "\n".join(lines)


def _row(case: dict[str, Any]) -> str:
    times = case.get("milliseconds") or {}
    ours = f"{times['patched']:.1f} ({times['torch'] / times['patched']:.2f})" if times else ""
    torch, cpu_s = (f"{number:.1f}" if number else "" for number in (times.get("torch"), case.get("convert_cpu_s")))
    right = "yes" if case["ok"] else "no"
    memory = f"{case['peak_mib']:,}" if case.get("converted") else ""
    return f"| {case['name']} | {case.get('kind', '')} | {right} | {cpu_s} | {memory} | {torch} | {ours} |"


def _details(case: dict[str, Any]) -> list[str]:
    if "code" not in case:  # its process ended
        return [f"Fails: {cell(case['reason'])}"]
    page = f"https://github.com/{case['name']}/tree/{case['repository_commit']}"
    needs = f", needs `pip install {' '.join(case['needs'])}`" if case["needs"] else ""
    lines = [f"{case['use']} [{case['repository_commit'][:9]}]({page}), {case['weights']} weights{needs}."]
    lines += ["", "```python", case["code"], "```", ""]
    if not case["ok"]:
        lines += [f"Fails: {cell(case['reason'])}", ""]
    lines += [f"- {one['shapes']}: {_verdict(one)}" for one in case["sizes"]]
    lines += [f"- {one['text']}{_original(one)}" for one in case["fixed"]]
    if case["noise"]:
        lines.append(f"- random numbers are inputs: {', '.join(case['noise'])}")
    if case["milliseconds"]:
        lines.append(f"- timed at {case['timed_at']}, {case['threads']} threads; {case['lines']} lines of source")
    return lines


def _verdict(size: dict[str, Any]) -> str:
    return f"error {size['error']:.1e}" if size["ok"] else f"**wrong**: {cell(size['why'])}"


def _original(fixed: dict[str, str]) -> str:
    return "" if fixed["original"] == "not tried" else f"; the original {fixed['original']}"
