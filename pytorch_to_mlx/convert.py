"""Convert a checkpoint into a folder of MLX weights. Knows no model: the card and the family's folder say the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from . import codegen, registry
from .analyze.checkpoint import config_unread
from .checkpoint.files import SourceFile, relative_inside
from .errors import CheckError, UsageError
from .model_source import Opened, is_module, open_named
from .progress import note, track
from .version import __version__
from .weights import Report, WeightMap, apply, check_destination, dequantize, load_into, new_folder, rebuild
from .weights import quantize as quantize_layers
from .weights.folder import fill_folder, to_json
from .weights.numbers import FLOATS, cast
from .weights.readme import readme, source_files

REPORT = "conversion.json"
# What a conversion writes itself; the other files of a converted folder are kept when it is converted again.
_OURS = {"config.json", "README.md", REPORT, "model.safetensors.index.json"}


def convert(
    source: Any,
    mlx_path: str | Path,
    *,
    example_inputs: Any = (),
    methods: Mapping[str, Any] | None = None,
    family: str | None = None,
    dtype: str | None = None,
    quantize: bool = False,
    dequantize: bool = False,
    q_bits: int = 8,
    q_group_size: int = 64,
    revision: str | None = None,
    force: bool = False,
    allow_nonfinite: bool = False,
    extend: Sequence[str | Path] | None = None,
) -> Any:
    """Convert `source` (path, hub id, `packaged:NAME`, or a converted folder) into the folder `mlx_path`.

    A torch module with example_inputs, a Python factory (`file.py:function`; it is run), a `.pt2` file or a Hugging
    Face model that is no family here becomes MLX source, and the result is the proof of it; else it is the path.
    methods: example inputs by method, for a torch module with several entry points: {"encode": x, "decode": (y, z)}.

    dtype: float32, float16 or bfloat16; None keeps what the checkpoint has. quantize: Linear and Embedding layers to
    q_bits in groups of q_group_size; dequantize undoes it. The folder is verified and then appears whole, with the
    report of the conversion in conversion.json; a run that fails leaves nothing.
    extend: Python files to run first, which register ops and modules for the conversion of a torch module.
    Raises: PortError of every kind; errors list all problems.
    """
    if quantize and dequantize:
        raise UsageError("a conversion cannot quantize and dequantize", fix="give one of the two")
    if dtype not in (None, *FLOATS):
        raise UsageError(f"dtype {dtype!r} is not supported", fix=f"use {', '.join(FLOATS)}")
    if is_module(source, family=family, revision=revision):
        if dtype or dequantize or allow_nonfinite:
            raise UsageError("dtype, dequantize and allow_nonfinite are for the checkpoints of a family")
        options = {
            "quantize": quantize,
            "q_bits": q_bits,
            "q_group_size": q_group_size,
            "force": force,
            "extend": extend,
        }
        return codegen.convert(source, mlx_path, example_inputs, methods=methods, **options)
    check_destination(Path(mlx_path), force=force)
    with open_named(source, family=family, revision=revision) as opened:
        packed = opened.converted and "quantization" in (opened.checkpoint.config or {})
        if quantize and packed:
            raise UsageError(
                "the source is quantized", where=opened.path, fix="convert the original, or --dequantize it"
            )
        if dequantize and not packed:
            raise UsageError("the source is not a quantized converted folder", where=opened.path)
        needs = opened.checkpoint.nbytes()
        with new_folder(mlx_path, force=force, source=opened.path, needs=needs) as folder:
            note(f"converting {opened.name} as {opened.card.name}")
            unpack = _unpacked if opened.converted else _mapped
            config, weights, files, report = unpack(opened, FLOATS.get(dtype or ""), dequantize, allow_nonfinite)
            about = _about(opened, report, config, dtype)
            module = _model(opened, config, weights, allow_nonfinite)
            if quantize:
                done = quantize_layers(module, bits=q_bits, group_size=q_group_size)
                config["quantization"] = done.config
                about["quantization"] = {**done.config, "layers": done.layers, "skipped": done.skipped}
            flat: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
            about["bytes"] = sum(array.nbytes for array in flat.values())
            files = {**files, REPORT: to_json(about), "README.md": readme(about, opened.card, opened.published)}
            note("writing and verifying")
            ordered = {name: flat[name] for name in sorted(flat)}
            fill_folder(folder, config=config, weights=ordered, files=files, where=mlx_path)
    return Path(mlx_path)


Parts = tuple[dict[str, Any], dict[str, mx.array], dict[str, Any], Report]


def _mapped(opened: Opened, dtype: mx.Dtype | None, undo: bool, allow_nonfinite: bool) -> Parts:
    """A checkpoint of the original through the family's weight map."""
    module = registry.part(opened.card.name, "weights")
    config = {k: v for k, v in (opened.checkpoint.config or {}).items() if not k.startswith("quantization")}
    if config.get("model_type") not in opened.card.model_types:
        config["model_type"] = opened.card.model_types[0]
    registry.part(opened.card.name, "config").Config.from_dict(config)  # before anything is read
    extra_files = getattr(module, "extra_files", None)
    done = apply(
        module.WEIGHTS, opened.checkpoint, dtype=dtype, allow_nonfinite=allow_nonfinite, family=opened.card.name
    )
    return config, done.weights, extra_files(opened.path, config) if extra_files else {}, done.report


def _unpacked(opened: Opened, dtype: mx.Dtype | None, undo: bool, allow_nonfinite: bool) -> Parts:
    """A converted folder: its weights are ours already, its other files are kept."""
    weight_map: WeightMap = registry.part(opened.card.name, "weights").WEIGHTS
    config, report = dict(opened.checkpoint.config or {}), Report(tensors=len(opened.checkpoint))
    weights = {name: opened.checkpoint[name] for name in track(opened.checkpoint.names(), "reading")}
    if undo:
        config, weights = dequantize(config, weights, where=opened.path)
    problems: list[str] = []
    for name, array in weights.items():
        wanted = weight_map.dtype_of(name, dtype)
        weights[name] = cast(name, array, wanted, problems, allow_nonfinite=allow_nonfinite)
        report.kept_float32 += [name] if wanted is not dtype else []
    if problems:
        raise CheckError(f"{len(problems)} weights cannot be converted", where=opened.path, details=problems)
    return config, weights, _other_files(opened.path), report


def _other_files(folder: Path) -> dict[str, bytes]:
    kept = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        ours = name in _OURS or (
            path.parent == folder and path.name.startswith("model") and path.suffix == ".safetensors"
        )
        if path.is_file() and not ours and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            with SourceFile(relative_inside(folder, name, where=folder)) as file:
                kept[name] = file.read(0, file.size)
    return kept


def _model(opened: Opened, config: dict[str, Any], weights: dict[str, mx.array], allow_nonfinite: bool) -> Any:
    """The family's module, holding exactly these weights."""
    numbers = registry.part(opened.card.name, "config").Config.from_dict(config)
    module = rebuild(registry.part(opened.card.name, "model").Model(numbers), config, weights, where=opened.path)
    return load_into(module, weights, allow_nonfinite=allow_nonfinite, where=opened.path)


def _about(opened: Opened, report: Report, config: dict[str, Any], dtype: str | None) -> dict[str, Any]:
    """Where the folder comes from and what was done: the same for the same input, so no time and no machine in it."""
    module = registry.part(opened.card.name, "config")
    return {
        "converter": f"pytorch-to-mlx {__version__}",
        "mlx": version("mlx"),
        "family": opened.card.name,
        "source": opened.name,
        "source_files": source_files(opened.checkpoint),
        "dtype": dtype or "as in the source",
        **asdict(report),
        "config_ignored": config_unread(module, config),
        "quantization": config.get("quantization"),
    }
