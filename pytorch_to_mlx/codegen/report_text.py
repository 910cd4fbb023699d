"""The texts of a converted folder: report.md and README.md."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversion import Conversion


def report_text(result: "Conversion") -> str:
    """What was compared, as Markdown."""
    right = sum(one["ok"] for one in result.submodules)
    lines = [
        f"# {result.model}: parity with PyTorch",
        "",
        f"Source: `{result.source}`, captured with {result.captured}. {result.parameters:,} parameters, "
        f"{result.source_lines} lines of source.",
        "Errors are the largest difference from PyTorch in float64, relative to the largest value; allowed is 1e-5 or "
        "twice the error of PyTorch's own float32.",
        "",
        "| outputs | error | PyTorch float32 | largest value | |",
        "|---|---|---|---|---|",
        *(f"| {one['size']} | {_row(one)} |" for one in result.outputs),
        "",
        f"{right} of {len(result.submodules)} submodule calls agree, each on PyTorch's own inputs.",
        "",
        "| submodule | class | error | PyTorch float32 | largest value | |",
        "|---|---|---|---|---|---|",
        *(f"| `{one['path']}` | {one['class_name'].rpartition('.')[2]} | {_row(one)} |" for one in result.submodules),
        "",
    ]
    if result.wrong_op:
        lines += ["First wrong op: " + ", ".join(f"{key} `{value}`" for key, value in result.wrong_op.items()), ""]
    if result.quantization:
        lines += [f"Quantized to {result.quantization['bits']} bits: the outputs then differ by "
                  f"{result.quantization['error']:.1e}.", ""]  # fmt: skip
    for title, names in (("Renamed", [f"{old} → {new}" for old, new in result.renamed.items()]),
                         ("Replaced by a registered module", [f"{path}: {name}" for path, name in
                                                              result.replaced.items()]),
                         ("Not used by the captured path", result.unused),
                         ("State that a call updates", result.updated)):  # fmt: skip
        if names:
            lines += [f"{title}:", "", *(f"- `{name}`" for name in names), ""]
    lines.append(", ".join(f"{name} {number}" for name, number in result.versions.items()))
    return "\n".join(lines) + "\n"


def _row(one: Mapping[str, Any]) -> str:
    mark = "ok" if one["ok"] else f"**{one['why']}**"
    return f"{one['error']:.1e} | {one['torch_float32_error']:.1e} | {one['scale']:.3g} | {mark}"


def readme_text(result: "Conversion", config: Mapping[str, Any]) -> str:
    """How to load and call the model."""
    methods = config["methods"]
    calls = {method: "model" if method == "__call__" else f"model.{method}" for method in methods}
    table = [
        f"| {f'`{method}` | ' if len(methods) > 1 else ''}`{name}` | {one['dtype']} | {one['shape']} |"
        for method, taken in methods.items()
        for name, one in taken["inputs"].items()
    ]
    head = "| method " if len(methods) > 1 else ""
    state = "agrees with PyTorch" if result.ok else "**differs from PyTorch: see report.md**"
    return "\n".join(
        [
            f"# {result.model}",
            "",
            f"MLX source and weights, written by pytorch-to-mlx from `{result.source}`; {state} (report.md).",
            "",
            "```python",
            "import sys",
            "",
            'sys.path.insert(0, "path/to/this/folder")',
            "from model import load",
            "",
            'model = load("path/to/this/folder")',
            *(f"result = {calls[method]}({', '.join(taken['arguments'])})" for method, taken in methods.items()),
            "```",
            "",
            f"{head}| input | dtype | shape |",
            f"{'|---' if head else ''}|---|---|---|",
            *table,
            "",
            "Names in a shape are sizes that may differ from call to call. `model.py` needs only `mlx`.",
            "",
        ]
    )
