"""Convert a module into a folder, with the proof in it; and prove a folder again."""

import json
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from torch.utils import _pytree as pytree

from .. import __version__
from ..errors import CheckError, UsageError
from ..progress import note
from ..weights import check_destination, write_folder
from ..weights import quantize as quantize_layers
from ..weights.folder import to_json
from . import KIND
from .capture import Captured, tied_names
from .check import check_outputs, import_source
from .compare import summary
from .extend import load_extensions
from .generate import Generated, generate, size_hints
from .graph import Meta
from .parity import Checked, check_submodules, first_wrong_op
from .report_text import readme_text, report_text
from .sources import ModuleSource, open_module
from .varied import other_sizes


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
        return _plain(asdict(self) | {"ok": self.ok})

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


def convert_module(
    source: str | ModuleSource,
    mlx_path: str | Path,
    *,
    quantize: bool = False,
    q_bits: int = 8,
    q_group_size: int = 64,
    force: bool = False,
    extend: Sequence[str | Path] | None = None,
) -> Conversion:
    """Write the MLX source and weights of a module into a folder, with a report that compares every submodule.

    source: `package.module:function`, `file.py:function`, `file.pt2`, a Hugging Face id or folder, or a ModuleSource.
    extend: Python files to run first, which register ops and modules; the folder remembers them for `validate`.
    The folder is written also if something differs; `check()` of the result then raises.
    """
    check_destination(Path(mlx_path), force=force)
    extended = load_extensions(extend)
    opened = open_module(source) if isinstance(source, str) else source
    result, captured, generated = _generate(opened)
    note(f"comparing {len(generated.calls) + len(generated.leaves)} submodules with PyTorch")
    config = _config(opened, captured, generated)
    if extended:
        config["extend"] = extended
    with tempfile.TemporaryDirectory() as folder:
        model = load_generated(_unproved(Path(folder), generated), generated.source)
        mx.eval(model.parameters())
        _prove(result, opened, captured, generated, model)
        if quantize:
            done = quantize_layers(
                model, bits=q_bits, group_size=q_group_size, predicate=lambda path, _: path not in generated.raw
            )
            config["quantization"] = done.config
            result.quantization = {**done.config, "layers": done.layers, "skipped": done.skipped}
            result.quantization["error"] = summary(_outputs(model, opened))["error"]
    weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    result.folder = str(mlx_path)
    files = {
        "model.py": generated.source.encode(),
        "report.json": to_json(result.to_dict()),
        "report.md": report_text(result).encode(),
        "README.md": readme_text(result, config).encode(),
    }
    ordered = {name: weights[name] for name in sorted(weights)}
    write_folder(mlx_path, config=config, weights=ordered, files=files, force=force)
    return result


def validate_folder(folder: str | Path, source: str | ModuleSource | None = None) -> Conversion:
    """Compare a generated folder with PyTorch again: outputs at the example sizes and others, then every submodule."""
    folder = Path(folder)
    config = _read_config(folder)
    load_extensions(config.get("extend"))
    if source is None and not config.get("source"):
        raise UsageError("the folder does not say where its module came from", where=folder, fix="give the module")
    opened = source if isinstance(source, ModuleSource) else open_module(source or config["source"])
    result, captured, generated = _generate(opened)
    result.folder = str(folder)
    model = load_generated(folder)
    if quantization := config.get("quantization"):
        result.quantization = {**quantization, "error": summary(_outputs(model, opened))["error"]}
        return result
    _prove(result, opened, captured, generated, model)
    return result


def load_generated(folder: Path, source: str | None = None) -> Any:
    """The model of a generated folder, through its own loader."""
    path = folder / "model.py"
    if source is not None:
        path.write_text(source)
    return import_source(path).load(str(folder))


def _read_config(folder: Path) -> dict[str, Any]:
    from ..checkpoint import read_config

    return read_config(folder)


def _generate(opened: ModuleSource) -> tuple[Conversion, Captured, Generated]:
    name = opened.class_name
    result = Conversion(opened.text or name, name)
    result.versions = {"python": platform.python_version(), "pytorch-to-mlx": __version__}
    result.versions |= {package: version(package) for package in ("mlx", "torch")}
    if opened.program is None:
        opened.module.eval()
    note(f"capturing {name}")
    start = time.perf_counter()
    captured = opened.captured()
    result.seconds["capture"] = time.perf_counter() - start
    note("writing source")
    start = time.perf_counter()
    generated = generate(captured, opened.module, opened.args, opened.kwargs)
    result.seconds["generate"] = time.perf_counter() - start
    result.model, result.captured = generated.class_name, captured.how
    result.parameters = sum(p.numel() for p in opened.module.parameters())
    result.source_lines = len(generated.source.splitlines())
    result.inputs = {node.name: str(node.meta) for node in captured.graph.inputs()}
    result.replaced = {path: leaf.layer for path, leaf in generated.leaves.items() if leaf.replaced}
    result.renamed, result.updated = generated.renamed, sorted(captured.updates)
    tied = tied_names(captured.program)
    used = {name for original in generated.originals for name in (original, *tied.get(original, ()))}
    result.unused = sorted(set(opened.module.state_dict()) - used)
    return result, captured, generated


def _outputs(model: Any, opened: ModuleSource) -> list[Any]:
    return check_outputs(model, opened.module, opened.args, opened.kwargs)


def _prove(result: Conversion, opened: ModuleSource, captured: Captured, generated: Generated, model: Any) -> None:
    start = time.perf_counter()
    flat = pytree.tree_leaves((opened.args, opened.kwargs))
    hints = size_hints(captured, flat)
    result.outputs.append({"size": "as captured", **summary(_outputs(model, opened))})
    for label, args, kwargs in other_sizes(captured, opened.module, opened.args, opened.kwargs, hints):
        result.outputs.append({"size": label, **summary(check_outputs(model, opened.module, args, kwargs))})
    found: list[Checked] = check_submodules(generated, captured, model, flat, hints)
    result.submodules = [one.as_dict() for one in found]
    if not result.ok and (wrong := first_wrong_op(captured.graph, captured, flat, hints)):
        result.wrong_op = asdict(wrong)
    result.seconds["prove"] = time.perf_counter() - start


def _unproved(folder: Path, generated: Generated) -> Path:
    (folder / "config.json").write_text("{}")
    mx.save_safetensors(str(folder / "model.safetensors"), generated.weights)
    generated.weights.clear()  # the model reads its own
    return folder


def _config(opened: ModuleSource, captured: Captured, generated: Generated) -> dict[str, Any]:
    config: dict[str, Any] = {
        "kind": KIND,
        "model_type": "generated",
        "class": generated.class_name,
        "source": opened.text or None,
        "arguments": generated.arguments,
        "inputs": {
            node.name: {
                "dtype": node.meta.dtype_name,
                "shape": [n if isinstance(n, int) else str(n) for n in node.meta.shape],
            }
            for node in captured.graph.inputs()
            if isinstance(node.meta, Meta)
        },
    }
    original = getattr(opened.module, "config", None)
    if hasattr(original, "to_json_string"):
        config["original_config"] = _plain(json.loads(original.to_json_string()))
    return config


def _plain(tree: Any) -> Any:
    """Data for strict JSON: infinities and NaN as text."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    if isinstance(tree, float) and (tree != tree or tree in (float("inf"), float("-inf"))):
        return str(tree)
    return tree
