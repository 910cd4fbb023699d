"""Convert a module into a folder, with the proof in it; and prove a folder again."""

import json
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..errors import UsageError
from ..progress import note
from ..version import __version__
from ..weights import check_destination, write_folder
from ..weights import quantize as quantize_layers
from ..weights.folder import to_json
from .capture.methods import Entry, all_tied, labelled, method_as_forward, size_hints
from .emit.generate import Generated, generate
from .emit.weights import reload
from .extensions import load_extensions
from .folder import KIND
from .graph import Meta
from .proof.compare import summary
from .proof.other_sizes import other_sizes
from .proof.outputs import check_outputs, import_source
from .proof.submodules import Checked, check_submodules, first_wrong_op
from .reports.conversion import Conversion, plain_json, readme_text, report_text
from .sources.module_source import ModuleSource
from .sources.open import open_module


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
    result, entries, generated = _generate(opened)
    note(f"comparing {len(generated.drafts) + len(generated.layers)} submodules with PyTorch")
    config = _config(opened, entries, generated)
    if extended:
        config["extend"] = extended
    with tempfile.TemporaryDirectory() as folder:
        unproved = _unproved(Path(folder), generated)
        model = load_generated(unproved)
        _prove(result, opened, entries, generated, model, unproved)
        weights: Mapping[str, mx.array] = generated.weights
        if quantize:
            done = quantize_layers(
                model,
                bits=q_bits,
                group_size=q_group_size,
                predicate=lambda path, _: path not in generated.shared_layers,
            )
            config["quantization"] = done.config
            result.quantization = {**done.config, "layers": done.layers, "skipped": done.skipped}
            result.quantization["error"] = _quantization_error(model, opened, entries)
            weights = dict(sorted(tree_flatten(model.parameters())))
    result.folder = str(mlx_path)
    files = {
        "model.py": generated.source.encode(),
        "report.json": to_json(result.to_dict()),
        "report.md": report_text(result).encode(),
        "README.md": readme_text(result, config).encode(),
    }
    write_folder(mlx_path, config=config, weights=weights, files=files, force=force)
    return result


def validate_folder(folder: str | Path, source: str | ModuleSource | None = None) -> Conversion:
    """Compare a generated folder with PyTorch again: outputs at the example sizes and others, then every submodule."""
    folder = Path(folder)
    config = _read_config(folder)
    load_extensions(config.get("extend"))
    if source is None and not config.get("source"):
        raise UsageError("the folder does not say where its module came from", where=folder, fix="give the module")
    opened = source if isinstance(source, ModuleSource) else open_module(source or config["source"])
    result, entries, generated = _generate(opened)
    result.folder = str(folder)
    model = load_generated(folder)
    if quantization := config.get("quantization"):
        result.quantization = {**quantization, "error": _quantization_error(model, opened, entries)}
        return result
    _prove(result, opened, entries, generated, model, folder)
    return result


def load_generated(folder: Path) -> Any:
    """The model of a generated folder, through its own loader."""
    return import_source(folder / "model.py").load(str(folder))


def _read_config(folder: Path) -> dict[str, Any]:
    from ..checkpoint import read_config

    return read_config(folder)


def _generate(opened: ModuleSource) -> tuple[Conversion, list[Entry], Generated]:
    name = opened.class_name
    result = Conversion(opened.text or name, name)
    result.versions = {"python": platform.python_version(), "pytorch-to-mlx": __version__}
    result.versions |= {package: version(package) for package in ("mlx", "torch")}
    if opened.program is None:
        opened.module.eval()
    note(f"capturing {name}")
    start = time.perf_counter()
    entries = opened.entries()
    result.seconds["capture"] = time.perf_counter() - start
    note("writing source")
    start = time.perf_counter()
    generated = generate(entries, opened.module)
    result.seconds["generate"] = time.perf_counter() - start
    result.model, result.captured = generated.class_name, ", ".join(dict.fromkeys(e.captured.how for e in entries))
    result.parameters = sum(p.numel() for p in opened.module.parameters())
    result.source_lines = len(generated.source.splitlines())
    result.inputs = {
        labelled(entries, entry, node.name): str(node.meta)
        for entry in entries
        for node in entry.captured.graph.inputs()
    }
    result.replaced = {path: layer.class_name for path, layer in generated.layers.items() if layer.user_module}
    result.renamed, result.updated = (
        generated.renamed,
        sorted({name for entry in entries for name in entry.captured.updates}),
    )
    tied = all_tied(entries)
    used = {name for original in generated.originals for name in (original, *tied.get(original, ()))}
    result.unused = sorted(set(opened.module.state_dict()) - used)
    return result, entries, generated


def _quantization_error(model: Any, opened: ModuleSource, entries: Sequence[Entry]) -> float:
    """The largest error of a method's outputs."""
    found = []
    for entry in entries:
        with method_as_forward(opened.module, entry.name):
            found.append(summary(check_outputs(model, opened.module, entry.args, entry.kwargs, entry.method))["error"])
    return max(found)


def _prove(
    result: Conversion, opened: ModuleSource, entries: Sequence[Entry], generated: Generated, model: Any, folder: Path
) -> None:
    start = time.perf_counter()
    sizes = {entry.name: size_hints(entry) for entry in entries}
    reset = partial(reload, model, folder)
    for entry in entries:
        hints = sizes[entry.name]
        examples = other_sizes(entry.captured, opened.module, entry.args, entry.kwargs, hints)
        with method_as_forward(opened.module, entry.name):
            for label, args, kwargs in chain([("as captured", entry.args, entry.kwargs)], examples):
                found = check_outputs(model, opened.module, args, kwargs, entry.method, reset)
                result.outputs.append({"size": labelled(entries, entry, label), **summary(found)})
        checked: list[Checked] = check_submodules(generated, entry, model, hints, reset)
        result.submodules += [one.as_dict() for one in checked]
    wrong = (first_wrong_op(entry, sizes[entry.name]) for entry in entries) if not result.ok else ()
    if found := next((one for one in wrong if one), None):
        result.wrong_op = asdict(found)
    result.seconds["prove"] = time.perf_counter() - start


def _unproved(folder: Path, generated: Generated) -> Path:
    """The generated model as a folder that nothing has been compared of yet."""
    return write_folder(
        folder / "unproved", config={}, weights=generated.weights, files={"model.py": generated.source.encode()}
    )


def _config(opened: ModuleSource, entries: Sequence[Entry], generated: Generated) -> dict[str, Any]:
    config: dict[str, Any] = {
        "kind": KIND,
        "model_type": "generated",
        "class": generated.class_name,
        "source": opened.text or None,
        "methods": {
            entry.method: {
                "arguments": generated.arguments[entry.method],
                "inputs": {
                    node.name: {
                        "dtype": node.meta.dtype_name,
                        "shape": [n if isinstance(n, int) else str(n) for n in node.meta.shape],
                    }
                    for node in entry.captured.graph.inputs()
                    if isinstance(node.meta, Meta)
                },
            }
            for entry in entries
        },
    }
    original = getattr(opened.module, "config", None)
    if hasattr(original, "to_json_string"):
        config["original_config"] = plain_json(json.loads(original.to_json_string()))
    return config
