"""The result of a conversion, and the texts of its folder: report.md and README.md."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import CheckError
from ...tolerances import FLOOR_FACTOR, RELATIVE

RANDOM = " (--noise input makes what it draws an input, and compares both on the same)"
AS_CAPTURED = "as captured"
OTHER_VALUES = "other values"
ALL_ZERO = "all zero in PyTorch, which proves nothing"
NEAR_TIE = "agrees, but for near ties that PyTorch's own rounding decides"
FIXED = "The source is for these sizes and values alone. For others, which it refuses, convert again with an example:"


KERNELS = (
    "Outputs as captured were computed by MLX's own functions. Those at other sizes, and the submodules, were computed "
    "with the CPU kernels of pytorch-to-mlx-cpu under MLX's functions (`patch_mlx`), which takes less time."
)


@dataclass
class Conversion:
    """What `convert` wrote of a module, or what `validate` compared of a generated folder.

    outputs, submodules: the comparisons, each with `ok`, `error`, `torch_float32_error`, `scale` and `why`; errors are
    relative, against PyTorch in float64. wrong_op: the first op that differs, if something does. renamed: original
    weight names and those of the source. replaced: paths for which a registered module stands. unused: weights that no
    captured method reads. fixed: what sizes of the inputs must be; the source refuses others. dropped: assertions about
    values that the source does not check. updated: buffers that a call changes. noise: the inputs that stand for what
    the module draws at random. varied: the lengths at which outputs were compared, the example's first, by axis.
    has_kernels: whether submodules and outputs at other sizes were computed with the CPU kernels under MLX's functions.
    seconds: wall-clock time of each step.
    """

    source: str
    model: str
    folder: str = ""
    captured: str = ""
    parameters: int = 0
    source_lines: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    submodules: list[dict[str, Any]] = field(default_factory=list)
    wrong_op: dict[str, str] | None = None
    noise: list[str] = field(default_factory=list)
    varied: dict[str, list[int]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    quantization: dict[str, Any] | None = None
    has_kernels: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every output and every submodule agrees with PyTorch."""
        return all(one["ok"] for one in [*self.outputs, *self.submodules])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return plain_json(asdict(self) | {"ok": self.ok})

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each class of submodule, with the worst error among its calls."""
        worst: dict[str, dict[str, Any]] = {}
        for one in self.submodules:
            name = _class_name(one)
            row = worst.setdefault(name, {"class": name, "calls": 0, "error": 0.0, "agrees": True})
            row["calls"] += 1
            row["error"] = max(row["error"], one["error"])
            row["agrees"] = row["agrees"] and one["ok"]
        return [
            row | {"error": f"{row['error']:.1e}", "agrees": "yes" if row["agrees"] else "no"} for row in worst.values()
        ]

    def summary(self) -> str:
        """Return the outputs at every size, and where the folder is, in a few lines."""
        lines = [f"{self.model}: {self.parameters:,} parameters, {self.source_lines} lines of source"]
        for one in self.outputs:
            if one.get("random"):
                lines.append(f"outputs {one['size']}: random: not compared{RANDOM}")
                continue
            verdict = "agrees" if one["ok"] else f"DIFFERS: {one['why']}"
            if one["ok"] and one.get("zero"):
                verdict = ALL_ZERO
            elif one["ok"] and one.get("near_tie"):
                verdict = NEAR_TIE
            errors = (
                f"error {one['error']:.1e} (PyTorch {one.get('tolerance', 'float32')} {one['torch_float32_error']:.1e})"
            )
            lines.append(f"outputs {one['size']}: {errors}, {verdict}")
        lines += [f"fixed size: {text}" for text in self.fixed]
        lines += [f"not tried at another length: {name}" for name, sizes in self.varied.items() if len(set(sizes)) == 1]
        lines += [f"not checked by the source: {text}" for text in self.dropped]
        if self.quantization:
            lines.append(_quantization_text(self.quantization))
        return "\n".join([*lines, self.folder])

    def check(self) -> None:
        """Do nothing if everything agrees.

        Raises: CheckError naming every output and submodule that differs, and the first wrong op.
        """
        problems = [f"outputs {one['size']}: {one['why']}" for one in self.outputs if not one["ok"]]
        problems += [f"{one['path']} ({one['class_name']}): {one['why']}" for one in self.submodules if not one["ok"]]
        if self.wrong_op:
            problems.append(f"first op that differs: {_wrong_op_text(self.wrong_op)}")
        if problems:
            raise CheckError(f"{self.model} in MLX differs from PyTorch", where=self.folder or None, details=problems)


def plain_json(tree: Any) -> Any:
    """Return a tree as strict JSON types: infinities and NaN become text."""
    if isinstance(tree, Mapping):
        return {str(key): plain_json(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain_json(value) for value in tree]
    if isinstance(tree, float) and (tree != tree or tree in (float("inf"), float("-inf"))):
        return str(tree)
    return tree


def report_text(result: Conversion) -> str:
    """Return report.md: what was compared with PyTorch, and how far off it is."""
    n_agree = sum(one["ok"] for one in result.submodules)
    errors = "error | PyTorch float32 error | largest value | agrees |"
    lines = [
        f"# {result.model}: parity with PyTorch",
        "",
        f"Converted from `{result.source}`, captured with {result.captured}: {result.parameters:,} parameters, "
        f"{result.source_lines} lines of source.",
        "",
        "The reference is PyTorch in float64. An error is the largest difference from it, divided by its largest "
        f"value; {RELATIVE['float32']:g} is allowed, or {FLOOR_FACTOR:g} times the error of PyTorch's own float32 if "
        f"that is more{_of_16_bit(result)}. Integers must be equal; their error is the number of values that differ.",
        "",
        *([KERNELS, ""] if result.has_kernels else []),
        "## Outputs",
        "",
        f"| sizes | {errors}",
        "|---|---|---|---|---|",
        *(f"| {one['size']} | {_errors(one)} |" for one in result.outputs),
        "",
        *_varied_text(result),
        "## Submodules",
        "",
        f"{n_agree} of {len(result.submodules)} calls agree. Each ran on PyTorch's own inputs, so an error shows "
        "where it is made.",
        "",
        f"| submodule | class | {errors}",
        "|---|---|---|---|---|---|",
        *(f"| `{one['path']}` | {_class_name(one)} | {_errors(one)} |" for one in result.submodules),
        "",
    ]
    if result.wrong_op:
        lines += ["## First op that differs", "", _wrong_op_text(result.wrong_op), ""]
    if result.quantization:
        text = _quantization_text(result.quantization)
        lines += ["## Quantization", "", f"{text}. The tables above are of the weights before that.", ""]
    if result.fixed:
        lines += ["## Fixed sizes", "", FIXED, "", *(f"- {text}" for text in result.fixed), ""]
    for title, names in (
        ("Weights renamed", [f"{old} → {new}" for old, new in result.renamed.items()]),
        ("Replaced by a registered module", [f"{path}: {name}" for path, name in result.replaced.items()]),
        ("Weights that no captured method reads", result.unused),
        ("Buffers that a call updates", result.updated),
        ("Assertions about values that the source does not check", result.dropped),
    ):
        if names:
            lines += [f"## {title}", "", *(f"- `{name}`" for name in names), ""]
    lines.append("Compared with " + ", ".join(f"{name} {number}" for name, number in result.versions.items()) + ".")
    return "\n".join(lines) + "\n"


def _of_16_bit(result: Conversion) -> str:
    """Return what is allowed of results in 16 bits, if there are any."""
    rows = {one.get("tolerance", "float32") for one in result.outputs} - {"float32"}
    texts = [f"{RELATIVE[row]:g} or twice PyTorch's own error in {row}" for row in sorted(rows)]
    return f" ({'; '.join(texts)})" if texts else ""


def _errors(one: Mapping[str, Any]) -> str:
    if one.get("random"):
        return "– | – | – | random: not compared"
    agreed = ALL_ZERO if one.get("zero") else NEAR_TIE if one.get("near_tie") else "yes"
    verdict = agreed if one["ok"] else f"**no**: {one['why']}"
    return f"{one['error']:.1e} | {one['torch_float32_error']:.1e} | {one['scale']:.3g} | {verdict}"


def _class_name(one: Mapping[str, Any]) -> str:
    return one["class_name"].rpartition(".")[2]


def _wrong_op_text(wrong_op: Mapping[str, str]) -> str:
    line, module = wrong_op["where"], wrong_op["module"]
    place = f"{f' at {line}' if line else ''}{f' (in module {module})' if module else ''}"
    return f"{wrong_op['op']}{place}: {wrong_op['why']}"


def _quantization_text(quantization: Mapping[str, Any]) -> str:
    return f"Quantized to {quantization['bits']} bits: outputs differ by {quantization['error']:.1e}"


def _varied_text(result: Conversion) -> list[str]:
    """Return at which lengths of each axis the outputs were compared."""
    if not result.varied:
        return []
    rows = [
        f"| `{name}` | {', '.join(map(str, dict.fromkeys(sizes)))}{'' if len(set(sizes)) > 1 else ' only'} |"
        for name, sizes in result.varied.items()
    ]
    return ["| axis | compared at |", "|---|---|", *rows, ""]


def _noise_text(kinds: Collection[str]) -> str:
    words = {"normal": "standard normal", "uniform": "uniform from 0 to 1"}
    what = " or ".join(words[kind] for kind in sorted(kinds))
    return (
        f"What the original draws at random are inputs whose names begin with `noise` ({what}). Each may be left out: "
        "the model then draws it with `mx.random`. The proof gave PyTorch and MLX the same noise."
    )


def readme_text(result: Conversion, config: Mapping[str, Any]) -> str:
    """Return README.md: how to load and call the model. config: the folder's config.json."""
    methods = config["methods"]
    several = len(methods) > 1
    calls = [
        f"result = model{'' if method == '__call__' else f'.{method}'}({', '.join(signature['arguments'])})"
        for method, signature in methods.items()
    ]
    rows = [
        f"| {f'`{method}` | ' if several else ''}`{name}` | {one['dtype']} | [{', '.join(map(str, one['shape']))}] |"
        for method, signature in methods.items()
        for name, one in signature["inputs"].items()
    ]
    parity = "It agrees with PyTorch" if result.ok else "**It differs from PyTorch**"
    if any(one.get("random") for one in result.outputs):
        parity = "It draws random numbers, and its outputs were not compared with PyTorch's"
    noise_rows = [
        f"| {f'`{method}` | ' if several else ''}`{name}` | {one['dtype']} | [{', '.join(map(str, one['shape']))}] |"
        for method, signature in methods.items()
        for name, one in signature.get("noise", {}).items()
    ]
    kinds = {one["kind"] for signature in methods.values() for one in signature.get("noise", {}).values()}
    return "\n".join(
        [
            f"# {result.model}",
            "",
            f"MLX source and weights, generated by pytorch-to-mlx from `{result.source}`. {parity}: see report.md.",
            "",
            "```python",
            "import sys",
            "",
            'sys.path.insert(0, "path/to/this/folder")',
            "from model import load",
            "",
            'model = load("path/to/this/folder")',
            *calls,
            "```",
            "",
            f"| {'method | ' if several else ''}input | dtype | shape |",
            f"|{'---|' if several else ''}---|---|---|",
            *rows,
            *noise_rows,
            "",
            "A name in a shape is a size that may change from call to call. `model.py` needs only `mlx`. On Linux it "
            "is faster with the CPU kernels of pytorch-to-mlx; before the import of `model` write:",
            "",
            "```python",
            "import pytorch_to_mlx.backend",
            "",
            "pytorch_to_mlx.backend.patch_mlx()",
            "```",
            "",
            *([_noise_text(kinds), ""] if kinds else []),
            *([FIXED, "", *(f"- {text}" for text in result.fixed), ""] if result.fixed else []),
        ]
    )
