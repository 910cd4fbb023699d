"""What a conversion found, and the texts of its folder: report.md and README.md."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import CheckError


@dataclass
class Conversion:
    """What a conversion or a validation of generated source found. Errors are relative, against float64 torch."""

    source: str
    model: str
    folder: str = ""
    captured: str = ""
    parameters: int = 0
    source_lines: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    submodules: list[dict[str, Any]] = field(default_factory=list)
    wrong_op: dict[str, str] | None = None
    renamed: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    quantization: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(one["ok"] for one in [*self.outputs, *self.submodules])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return plain_json(asdict(self) | {"ok": self.ok})

    def rows(self) -> list[dict[str, Any]]:
        """A line for each kind of submodule, and the worst error among its calls."""
        worst: dict[str, dict[str, Any]] = {}
        for one in self.submodules:
            name = one["class_name"].rpartition(".")[2]
            row = worst.setdefault(name, {"class": name, "calls": 0, "error": 0.0, "agrees": True})
            row["calls"] += 1
            row["error"] = max(row["error"], one["error"])
            row["agrees"] = row["agrees"] and one["ok"]
        return [
            row | {"error": f"{row['error']:.1e}", "agrees": "yes" if row["agrees"] else "no"} for row in worst.values()
        ]

    def summary(self) -> str:
        """The outputs at every size, and where the folder is."""
        lines = [f"{self.model}: {self.parameters:,} parameters, {self.source_lines} lines of source"]
        for one in self.outputs:
            verdict = "agrees" if one["ok"] else f"DIFFERS: {one['why']}"
            errors = f"error {one['error']:.1e} (PyTorch float32 {one['torch_float32_error']:.1e})"
            lines.append(f"outputs {one['size']}: {errors}, {verdict}")
        if self.quantization:
            lines.append(
                f"quantized to {self.quantization['bits']} bits: outputs differ by {self.quantization['error']:.1e}"
            )
        return "\n".join([*lines, self.folder])

    def check(self) -> None:
        """Raises: CheckError naming every output and submodule that differs."""
        wrong = [f"{one['size']}: {one['why']}" for one in self.outputs if not one["ok"]]
        wrong += [f"{one['path']} ({one['class_name']}): {one['why']}" for one in self.submodules if not one["ok"]]
        if self.wrong_op:
            wrong.append("first wrong op: " + ", ".join(f"{key} {value}" for key, value in self.wrong_op.items()))
        if wrong:
            raise CheckError(f"{self.model} in MLX differs from PyTorch", where=self.folder or None, details=wrong)


def plain_json(tree: Any) -> Any:
    """Data for strict JSON: infinities and NaN as text."""
    if isinstance(tree, Mapping):
        return {str(key): plain_json(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain_json(value) for value in tree]
    if isinstance(tree, float) and (tree != tree or tree in (float("inf"), float("-inf"))):
        return str(tree)
    return tree


def report_text(result: Conversion) -> str:
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


def readme_text(result: Conversion, config: Mapping[str, Any]) -> str:
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
