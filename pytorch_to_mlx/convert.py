"""Convert a checkpoint into a folder of MLX weights. Knows no model: the card and the family's folder say the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from . import codegen
from .checkpoint import Checkpoint
from .checkpoint.files import SourceFile, relative_inside
from .config import check_repeats
from .errors import CheckError, UsageError
from .forks import require_own_threads
from .model_source import ModelSource, find_model_or_module
from .progress import note, track
from .units import count_text, size_text
from .version import __version__
from .weights import Report, apply, check_destination, dequantize, load_into, new_folder, rebuild
from .weights.folder import fill_folder
from .weights.numbers import FLOATS, cast
from .weights.pack import narrow, pack
from .weights.quantize import ACTIVATION_BITS, check_quantization
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
    q_bits: int | None = None,
    q_group_size: int | None = None,
    q_activations: bool = False,
    q_recipe: str | None = None,
    variant: str | None = None,
    revision: str | None = None,
    force: bool = False,
    allow_nonfinite: bool = False,
    extend: Sequence[str | Path] | None = None,
    noise: str | None = None,
) -> Any:
    """Convert `source` (path, hub id, `packaged:NAME`, or a converted folder) into the folder `mlx_path`.

    None is the default checkpoint of `family`.

    A torch module with example_inputs, a Python factory (`file.py:function`; it is run), a `.pt2` file or a Hugging
    Face model that is no family here becomes MLX source, and the result is the proof of it; else it is the path.
    methods: example inputs by method, for a torch module with several entry points: {"encode": x, "decode": (y, z)}.

    dtype: float32, float16 or bfloat16; None keeps what the checkpoint has. quantize: Linear and Embedding layers to
    q_bits (8) in groups of q_group_size (64), either of which implies it; dequantize undoes it. q_recipe: a mixture of
    bits that the family has a name for, in place of q_bits. q_activations: 8-bit layers also round what they read to 8
    bits, for faster products on a CPU; of families that do so. Without dtype a
    quantized model has float16 for float32, and the matrices of convolutions and LSTMs are packed in the file, 8 bits a
    number; loading widens them. The folder is verified and then appears whole, with the report of the conversion in
    conversion.json; a run that fails leaves nothing.
    variant: which model a checkpoint of the original is, where its tensors do not say it, such as v0 of F5-TTS.
    extend: Python files to run first, which register ops and modules for the conversion of a torch module. noise:
    "input" makes what such a module draws at random inputs of the model.
    Raises: PortError of every kind; errors list all problems.
    """
    require_own_threads()
    quantize = quantize or q_activations or any(option is not None for option in (q_bits, q_group_size, q_recipe))
    if q_bits is not None and q_recipe is not None:
        raise UsageError("a recipe chooses the bits of every layer", fix="give it without the number of bits")
    q_bits, q_group_size = 8 if q_bits is None else q_bits, 64 if q_group_size is None else q_group_size
    if quantize and dequantize:
        raise UsageError("a conversion cannot quantize and dequantize", fix="give one of the two")
    if quantize:
        check_quantization(q_bits, q_group_size)
    if dtype not in (None, *FLOATS):
        raise UsageError(f"dtype {dtype!r} is not supported", fix=f"use {', '.join(FLOATS)}")
    model = find_model_or_module(source, family=family, revision=revision)
    if model is None:
        if dtype or dequantize or allow_nonfinite or q_activations or q_recipe or variant:
            names = "dtype, dequantize, allow_nonfinite, q_activations, q_recipe and variant"
            raise UsageError(f"{names} are for the checkpoints of a family")
        options = {
            "quantize": quantize,
            "q_bits": q_bits,
            "q_group_size": q_group_size,
            "force": force,
            "extend": extend,
            "noise": noise,
        }
        return codegen.convert(source, mlx_path, example_inputs, methods=methods, **options)
    if dtype is not None and dtype in model.family.refused_dtypes:
        raise UsageError(f"{model.family.name} is not stored in {dtype}: {model.family.refused_dtypes[dtype]}")
    if q_recipe is not None and q_recipe not in model.family.recipes:
        known = ", ".join(model.family.recipes)
        raise UsageError(f"{model.family.name} has no recipe {q_recipe!r:.40}", fix=known and f"recipes: {known}")
    if q_activations and not (model.family.rounds_activations and q_bits == ACTIVATION_BITS):
        what = model.family.name if q_bits == ACTIVATION_BITS else f"layers of {q_bits} bits"
        raise UsageError(f"activations are not rounded for {what}", fix="leave out --q-activations")
    if variant is not None:
        _check_variant(model, variant)
    check_destination(Path(mlx_path), force=force)
    with model.open() as checkpoint:
        if variant is not None:
            checkpoint.config = {**(checkpoint.config or {}), **model.family.variants[variant]}
        packed = model.converted and "quantization" in (checkpoint.config or {})
        if quantize and packed:
            raise UsageError(
                "the source is quantized", where=model.path, fix="convert the original, or --dequantize it"
            )
        if dequantize and not packed:
            raise UsageError("the source is not a quantized converted folder", where=model.path)
        with new_folder(mlx_path, force=force, source=model.path, needs=checkpoint.nbytes()) as folder:
            licence = f", whose licence is: {model.published.licence}" if model.published else ""
            note(f"converting {model.name} as {model.family.name}{licence}")
            unpack = _unpacked if model.converted else _mapped
            config, weights, files, report = unpack(
                model, checkpoint, FLOATS.get(dtype or ""), dequantize, allow_nonfinite
            )
            about = _about(model, checkpoint, report, config, dtype)
            if quantize and dtype is None:
                where = model.path
                keep = model.family.weights.dtype_of
                weights, about["kept_float32"] = narrow(weights, keep, allow_nonfinite=allow_nonfinite, where=where)
            module = _module(model, config, weights, allow_nonfinite)
            flat: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
            if quantize:
                done = pack(
                    module,
                    bits=q_bits,
                    group_size=q_group_size,
                    predicate=_predicate(model, module, q_recipe, q_group_size),
                    activations=q_activations,
                    rows=dtype is None,
                )
                flat, layers = done.weights, done.layers
                config |= done.config
                about["quantization"] = {
                    **layers.config,
                    "layers": layers.layers,
                    "skipped": layers.skipped,
                    "in_file": done.rows,
                    "bytes": done.packed_bytes,
                }
            about["bytes"] = sum(array.nbytes for array in flat.values())
            note(_size_note(sum(file.size for file in checkpoint.files) or checkpoint.nbytes(), about))
            files = {**files, "README.md": readme(about, model.family.card, model.published)}
            note("writing and verifying")
            ordered = {name: flat[name] for name in sorted(flat)}
            fill_folder(folder, config=config, weights=ordered, files=files, where=mlx_path, report=(REPORT, about))
    return Path(mlx_path)


def _check_variant(model: ModelSource, variant: str) -> None:
    """Raises: UsageError for a name that is not a variant of the family, or a folder that is converted already."""
    known = model.family.variants
    if variant not in known:
        fix = f"variants: {', '.join(known)}" if known else "leave it out"
        raise UsageError(f"{model.family.name} has no variant {variant!r:.40}", fix=fix)
    if model.converted:
        raise UsageError("a converted folder says which variant it is", where=model.path, fix="convert the original")


Parts = tuple[dict[str, Any], dict[str, mx.array], dict[str, Any], Report]


def _mapped(
    model: ModelSource, checkpoint: Checkpoint, dtype: mx.Dtype | None, undo: bool, allow_nonfinite: bool
) -> Parts:
    """Put a checkpoint of the original through the family's weight map."""
    family = model.family
    config = {k: v for k, v in (checkpoint.config or {}).items() if not k.startswith("quantization")}
    if config.get("model_type") not in family.card.model_types:
        config["model_type"] = family.card.model_types[0]
    family.config.from_dict(config)  # before anything is read
    applied = apply(family.weights, checkpoint, dtype=dtype, allow_nonfinite=allow_nonfinite, family=family.name)
    return config, applied.weights, dict(family.extra_files(model.path, config)), applied.report


def _unpacked(
    model: ModelSource, checkpoint: Checkpoint, dtype: mx.Dtype | None, undo: bool, allow_nonfinite: bool
) -> Parts:
    """Read a converted folder again: its weights are ours already, its other files stay."""
    config, report = dict(checkpoint.config or {}), Report(tensors=len(checkpoint))
    weights = {name: checkpoint[name] for name in track(checkpoint.names(), "reading")}
    if undo:
        config, weights = dequantize(config, weights, where=model.path)
    problems: list[str] = []
    for name, array in weights.items():
        stored = model.family.weights.dtype_of(name, dtype)
        weights[name] = cast(name, array, stored, problems, allow_nonfinite=allow_nonfinite)
        report.kept_float32 += [name] if stored is not dtype else []
    if problems:
        raise CheckError(
            f"{count_text(len(problems), 'weight')} cannot be converted", where=model.path, details=problems
        )
    return config, weights, _other_files(model.path), report


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


def _module(model: ModelSource, config: dict[str, Any], weights: dict[str, mx.array], allow_nonfinite: bool) -> Any:
    """Build the family's module, holding exactly these weights."""
    sizes = model.family.config.from_dict(config)
    check_repeats(sizes, len(weights), where=model.path)
    module = rebuild(model.family.model(sizes), config, weights, where=model.path)
    return load_into(module, weights, allow_nonfinite=allow_nonfinite, where=model.path)


def _predicate(model: ModelSource, module: Any, recipe: str | None, group_size: int) -> Any:
    """Return which layers are quantized, and of a recipe to how many bits each."""
    family = model.family
    return family.quantizes if recipe is None else family.recipes[recipe](module, group_size)


def _size_note(n_read: int, about: Mapping[str, Any]) -> str:
    """Return the sizes of the weights before and after, and what share of them is packed."""
    text = f"weights: {size_text(n_read)} read, {size_text(about['bytes'])} written"
    if about["quantization"]:
        text += f", {about['quantization']['bytes'] / about['bytes']:.0%} of it packed"
    return text


def _about(
    model: ModelSource, checkpoint: Checkpoint, report: Report, config: dict[str, Any], dtype: str | None
) -> dict[str, Any]:
    """Say where the folder comes from and what was done: the same for the same input, so no time and no machine."""
    return {
        "converter": f"pytorch-to-mlx {__version__}",
        "mlx": version("mlx"),
        "family": model.family.name,
        "source": model.name,
        "source_files": source_files(checkpoint),
        "dtype": dtype or "as in the source",
        **asdict(report),
        "config_ignored": model.family.unread_keys(config),
        "quantization": config.get("quantization"),
    }
