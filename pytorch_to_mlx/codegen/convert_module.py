"""Convert a PyTorch module into a folder of MLX source with its proof, and prove such a folder again."""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..backend.native import kernels
from ..backend.patch import patched_mlx
from ..checkpoint import open_checkpoint, read_config
from ..errors import FormatError, UsageError
from ..progress import note
from ..units import count_text
from ..version import versions
from ..weights import check_destination, write_folder
from ..weights import quantize as quantize_layers
from ..weights.folder import check_files
from .capture.batches import sizes_in
from .capture.failures import torch_failures
from .capture.input_sizes import input_texts, shape_names, short_names
from .capture.methods import Entry, all_tied, labelled, method_as_forward, size_hints
from .capture.noise import noise_as_inputs
from .capture.patches import plain_encoders
from .emit.generate import Generated, generate
from .emit.weights import reload
from .extensions import load_extensions
from .folder import KIND
from .graph import Meta, Node
from .lowering.ops.random import is_random
from .proof.compare import Agreement, summary
from .proof.other_sizes import other_sizes, other_values
from .proof.outputs import check_outputs, code, import_source
from .proof.sizes_of_one import refuse_ones, refused_ones, sizes_not_one, wrong_at_one
from .proof.submodules import check_submodules, first_wrong_op
from .proof.zeros import random_zeros
from .reports.conversion import AS_CAPTURED, OTHER_VALUES, Conversion, plain_json, readme_text, report_text
from .sources.module_source import ModuleSource
from .sources.open import open_module


@plain_encoders()
def convert_module(
    source: str | ModuleSource,
    mlx_path: str | Path,
    *,
    quantize: bool = False,
    q_bits: int = 8,
    q_group_size: int = 64,
    force: bool = False,
    extend: Sequence[str | Path] | None = None,
    noise: str | None = None,
) -> Conversion:
    """Write the MLX source and weights of a module into a folder, with a report that compares every submodule.

    source: `package.module:function`, `file.py:function`, `file.pt2`, a Hugging Face id or folder, or a ModuleSource.
    extend: Python files to run first, which register ops and modules; config.json names them.
    noise: "input" makes what the module draws at random inputs of the model; it draws what is not given.
    The folder is written also if something differs; `check()` of the result then raises.

    Raises: UsageError where the folder exists (without `force`) or the source cannot be opened; FormatError for what
    cannot be captured or has no MLX form.
    """
    if noise not in (None, "input"):
        raise UsageError(f"noise {noise!r} is not supported", fix='use "input"')
    check_destination(Path(mlx_path), force=force)
    extensions = load_extensions(extend)
    opened = open_module(source) if isinstance(source, str) else source
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        entries = _capture(opened, noise)
        seconds = time.perf_counter() - start
        proved, with_loops = None, True
        try:
            proved = _write_and_prove(opened, entries, Path(folder))
        except FormatError:
            with_loops = not _unroll(entries, noise)
            if with_loops:
                raise
        if proved is None or (not proved[0].ok and _unroll(entries, noise)):
            note("its loops are not the same at every length: writing one round after the other")
            proved, with_loops = _write_and_prove(opened, entries, Path(folder) / "unrolled"), False
        result, generated, model = proved
        result.seconds["capture"] = seconds
        config = _config(opened, entries, generated)
        config |= {} if with_loops else {"loops": False}
        config |= {"noise": noise} if noise else {}
        config |= {"extend": extensions} if extensions else {}
        weights: Mapping[str, mx.array] = generated.weights
        if quantize:
            quantization = quantize_layers(
                model,
                bits=q_bits,
                group_size=q_group_size,
                predicate=lambda path, _: path not in generated.shared_layers,
            )
            config["quantization"] = quantization.config
            result.quantization = {
                **quantization.config,
                "layers": quantization.layers,
                "skipped": quantization.skipped,
                "error": _largest_error(model, opened, entries, generated),
            }
            weights = _parameters(model)
    result.folder = str(mlx_path)
    files = {
        "model.py": generated.source.encode(),
        "report.md": report_text(result).encode(),
        "README.md": readme_text(result, config).encode(),
    }
    write_folder(
        mlx_path,
        config=config,
        weights=weights,
        files=files,
        force=force,
        report=("report.json", result.to_dict()),
    )
    return result


@plain_encoders()
def validate_folder(
    folder: str | Path,
    source: str | ModuleSource,
    *,
    extend: Sequence[str | Path] | None = None,
    trust_folder: bool = False,
) -> Conversion:
    """Compare a generated folder with PyTorch again: outputs at the example sizes and others, then every submodule.

    Of quantized weights only the error of the outputs is measured. source: the original. extend: as in
    `convert_module`. The folder's model.py is run only if it is what `source` gives now, or with `trust_folder`.

    Raises: UsageError where model.py is other code and may not be run.
    """
    folder = Path(folder)
    config = read_config(folder)
    load_extensions(extend)
    opened = source if isinstance(source, ModuleSource) else open_module(source)
    entries = _capture(opened, config.get("noise"), with_loops=config.get("loops") is not False)
    for entry in entries:
        refuse_ones(entry, sizes_not_one(config, entry.method))
    result, generated = _generate(opened, entries)
    result.folder = str(folder)
    if not trust_folder and code(folder / "model.py") != code(generated.source):
        raise UsageError(
            "model.py is not what the original gives now (edited, or of other versions); it was not run",
            where=folder,
            fix="read it, then pass --trust-folder (trust_folder=True)",
        )
    with open_checkpoint(folder):  # the weights' headers are checked before the folder's loader reads them
        pass
    model = load_generated(folder)
    if quantization := config.get("quantization"):
        result.quantization = {**quantization, "error": _largest_error(model, opened, entries, generated)}
    else:
        _prove(result, opened, entries, generated, model, folder)
    if result.ok:  # else the result says more: which submodule differs
        check_files(folder, weights_only=True)
    return result


def load_generated(folder: Path) -> Any:
    """Load the model of a generated folder, through the folder's own loader."""
    return import_source(folder / "model.py").load(str(folder))


def _capture(opened: ModuleSource, noise: str | None, *, with_loops: bool = True) -> list[Entry]:
    """Capture every method, without its loops as loops if not `with_loops`; make what it draws inputs for `noise`."""
    if opened.program is None:
        opened.module.eval()
    note(f"capturing {opened.class_name}")
    with torch_failures(opened.class_name):
        entries = opened.entries()
    if not with_loops:
        _unroll(entries, None)
    _draw_outside(entries, noise)
    return entries


def _draw_outside(entries: Sequence[Entry], noise: str | None) -> None:
    for entry in entries if noise else ():
        noise_as_inputs(entry.captured.graph, entry.captured.program.graph)


def _unroll(entries: Sequence[Entry], noise: str | None) -> bool:
    """Put one round after the other in place of every loop. Returns whether there were any."""
    had_loops = any([entry.captured.unroll() for entry in entries])
    _draw_outside(entries, noise)
    return had_loops


def _generate(opened: ModuleSource, entries: Sequence[Entry]) -> tuple[Conversion, Generated]:
    """Write the source in memory; the result is described, not compared yet."""
    name = opened.class_name
    result = Conversion(opened.text or name, name, versions=versions())
    note("writing source")
    with _timed(result, "generate"), torch_failures(name):
        generated = generate(entries, opened.module)
    _describe(result, opened, entries, generated)
    return result, generated


def _write_and_prove(opened: ModuleSource, entries: Sequence[Entry], folder: Path) -> tuple[Conversion, Generated, Any]:
    """Write source and weights into a folder, and compare them with PyTorch."""
    result, generated = _generate(opened, entries)
    note(f"comparing {count_text(len(generated.drafts) + len(generated.layers), 'submodule')} with PyTorch")
    trial = _write_trial(folder, generated)
    model = load_generated(trial)
    if _refuse_wrong_ones(opened, entries, generated, model, trial):
        result, generated = _generate(opened, entries)
        trial = _write_trial(folder / "checked", generated)
        model = load_generated(trial)
    _prove(result, opened, entries, generated, model, trial)
    return result, generated, model


def _refuse_wrong_ones(
    opened: ModuleSource, entries: Sequence[Entry], generated: Generated, model: Any, folder: Path
) -> bool:
    """Let the source refuse sizes of one at which it gives what PyTorch does not. Returns whether there are any."""
    any_wrong = False
    for entry in entries:
        with method_as_forward(opened.module, entry.name), torch_failures(opened.class_name):
            draws = _draws(generated, entry)
            sizes = wrong_at_one(entry, opened.module, model, partial(reload, model, folder), draws)
        refuse_ones(entry, sizes)
        any_wrong |= bool(sizes)
    return any_wrong


@contextmanager
def _timed(result: Conversion, step: str) -> Iterator[None]:
    """Note the wall-clock seconds of a step in the result."""
    start = time.perf_counter()
    yield
    result.seconds[step] = time.perf_counter() - start


def _describe(result: Conversion, opened: ModuleSource, entries: Sequence[Entry], generated: Generated) -> None:
    result.model = generated.class_name
    result.captured = ", ".join(dict.fromkeys(entry.captured.how for entry in entries))
    result.parameters = sum(p.numel() for p in opened.module.parameters())
    result.source_lines = len(generated.source.splitlines())
    result.inputs = {
        labelled(entries, entry, name): text
        for entry in entries
        for name, text in input_texts(entry.captured.graph.inputs()).items()
    }
    result.dropped = [labelled(entries, entry, text) for entry in entries for text in entry.captured.dropped]
    result.fixed = [labelled(entries, entry, text) for entry in entries for text in entry.captured.fixed]
    result.noise = [labelled(entries, entry, n.name) for entry in entries for n in _noises(generated, entry)]
    result.replaced = {path: layer.class_name for path, layer in generated.layers.items() if layer.user_module}
    result.renamed = generated.renamed
    result.updated = sorted({name for entry in entries for name in entry.captured.updates})
    tied = all_tied(entries)
    originals = {*generated.originals, *(name for entry in entries for name in entry.captured.folded)}
    used = {name for original in originals for name in (original, *tied.get(original, ()))}
    result.unused = sorted(set(opened.module.state_dict()) - used)


def _noises(generated: Generated, entry: Entry) -> list[Node]:
    """Return the noise that a method of the model takes after its inputs."""
    return [node for node in generated.roots[entry.name].inputs if node.op == "noise"]


def _noise_shape(meta: Meta, entry: Entry) -> list[int | str]:
    """Return the shape of noise with names for its dynamic sizes, of which some may depend on data."""
    names = short_names(entry.captured.graph.inputs())
    symbols = {str(symbol) for size in meta.shape if not isinstance(size, int) for symbol in size.free_symbols}
    return shape_names(meta, dict.fromkeys(symbols, "depends on data") | names)


def _draws(generated: Generated, entry: Entry) -> list[int] | None:
    """Return which of PyTorch's draws a method of the model takes; None if it makes one itself."""
    if any(is_random(node.op) and "noise" not in node.kwargs for node in generated.roots[entry.name].nodes()):
        return None
    return [node.args[2] for node in _noises(generated, entry)]


def _largest_error(model: Any, opened: ModuleSource, entries: Sequence[Entry], generated: Generated) -> float:
    """Return the largest relative error of any method's outputs on its example inputs."""
    errors = []
    for entry in entries:
        with method_as_forward(opened.module, entry.name):
            draws = _draws(generated, entry)
            agreements = check_outputs(model, opened.module, entry.args, entry.kwargs, entry.method, noise=draws)
        errors.append(summary(agreements)["error"])
    return max(errors)


def _prove(
    result: Conversion, opened: ModuleSource, entries: Sequence[Entry], generated: Generated, model: Any, folder: Path
) -> None:
    """Compare outputs and submodules of every method, and look for the first wrong op if one of them differs."""
    sizes = {entry.name: size_hints(entry) for entry in entries}
    reset = partial(reload, model, folder)
    result.has_kernels = kernels() is not None
    with _timed(result, "prove"), torch_failures(opened.class_name):
        for entry in entries:
            hints = sizes[entry.name]
            names = short_names(entry.captured.graph.inputs())
            agreements: list[Agreement] = []
            varied = {names.get(str(symbol), str(symbol)): [size] for symbol, size in hints.items()}
            examples = other_sizes(entry.captured, opened.module, entry.args, entry.kwargs, hints)
            with method_as_forward(opened.module, entry.name):
                own = [({}, entry.args, entry.kwargs), *_single(entry, hints, names)]
                for sizes_here, args, kwargs in chain(own, examples):
                    draws = _draws(generated, entry)
                    # once on MLX's own functions, which are what runs elsewhere; the rest on the faster kernels
                    with patched_mlx() if sizes_here else nullcontext():
                        agreements = check_outputs(model, opened.module, args, kwargs, entry.method, reset, draws)
                    label = ", ".join(f"{name}={size}" for name, size in sizes_here.items()) or AS_CAPTURED
                    result.outputs.append({"size": labelled(entries, entry, label), **summary(agreements)})
                    for name, size in sizes_here.items():
                        varied[name].append(size)
                for args, kwargs in other_values(opened.module, entry.args, entry.kwargs, hints):
                    draws = _draws(generated, entry)
                    results = check_outputs(model, opened.module, args, kwargs, entry.method, reset, draws)
                    result.outputs.append({"size": labelled(entries, entry, OTHER_VALUES), **summary(results)})
                if any(one.zero for one in agreements):
                    label, agreements = _check_with_random_weights(opened.module, entry, generated, folder)
                    result.outputs.append({"size": labelled(entries, entry, label), **summary(agreements)})
            result.varied |= {labelled(entries, entry, name): values for name, values in varied.items()}
            with patched_mlx():
                checks = check_submodules(generated, entry, model, hints, reset)
            result.submodules += [check.as_dict() for check in checks]
        if not result.ok:
            wrong_ops = (first_wrong_op(entry, sizes[entry.name]) for entry in entries)
            result.wrong_op = next((asdict(wrong_op) for wrong_op in wrong_ops if wrong_op), None)


def _single(entry: Entry, hints: Mapping[Any, int], names: Mapping[str, str]) -> Iterator[tuple[dict, tuple, Any]]:
    """Yield the user's example, if it is a batch of one and was captured as one of two, with the sizes that differ."""
    if entry.single is not None:
        sizes = sizes_in(entry.captured, *entry.single) or {}
        others = {names[str(symbol)]: size for symbol, size in sizes.items() if size != hints[symbol]}
        yield others, *entry.single


def _check_with_random_weights(
    module: Any, entry: Entry, generated: Generated, folder: Path
) -> tuple[str, list[Agreement]]:
    """Compare outputs that were all zero again, with random numbers for the weights that are all zero."""
    with tempfile.TemporaryDirectory() as other, random_zeros(module):
        source = (folder / "model.py").read_text(encoding="utf-8")
        model = load_generated(_write_trial(Path(other), replace(generated, source=source)))
        agreements = check_outputs(
            model, module, entry.args, entry.kwargs, entry.method, noise=_draws(generated, entry)
        )
    return f"{AS_CAPTURED}, zero weights made random", agreements


def _write_trial(folder: Path, generated: Generated) -> Path:
    """Write source and weights alone, to compare them before the whole folder is written."""
    files = {"model.py": generated.source.encode()}
    return write_folder(folder / "trial", config={"sizes": generated.sizes}, weights=generated.weights, files=files)


def _parameters(model: Any) -> dict[str, mx.array]:
    flat = tree_flatten(model.parameters())
    assert isinstance(flat, list)
    return dict(sorted(flat))


def _config(opened: ModuleSource, entries: Sequence[Entry], generated: Generated) -> dict[str, Any]:
    """Return the folder's config.json: how to call its methods, and where the module came from."""
    config: dict[str, Any] = {
        "kind": KIND,
        "model_type": "generated",
        "class": generated.class_name,
        "source": opened.text or None,
        "sizes": generated.sizes,
        "methods": {
            entry.method: {
                "arguments": generated.arguments[entry.method],
                "inputs": {
                    node.name: {
                        "dtype": node.meta.dtype_name,
                        "shape": shape_names(node.meta, short_names(entry.captured.graph.inputs())),
                    }
                    for node in entry.captured.graph.inputs()
                    if isinstance(node.meta, Meta)
                },
                "noise": {
                    node.name: {
                        "kind": node.args[0],
                        "dtype": node.meta.dtype_name,
                        "shape": _noise_shape(node.meta, entry),
                    }
                    for node in _noises(generated, entry)
                },
            }
            for entry in entries
        },
    }
    for entry in entries:
        if sizes := refused_ones(entry):
            config["methods"][entry.method]["not_one"] = sizes
    to_json_string = getattr(getattr(opened.module, "config", None), "to_json_string", None)
    if to_json_string is not None:
        config["original_config"] = plain_json(json.loads(to_json_string()))
    return config
