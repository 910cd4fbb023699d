"""Quantize a module's layers, rebuild the quantized layers of a converted folder, and undo it; by mlx.nn.quantize."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from ..errors import CheckError, FormatError, UsageError
from ..units import count_text
from .numbers import check_finite, nonfinite

M = TypeVar("M", bound=nn.Module)
Predicate = Callable[[str, nn.Module], bool | dict[str, int]]

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)
ACTIVATION_BITS = 8


@dataclass
class Quantized:
    """What `quantize` did.

    config: config.json's "quantization" entry. layers: the quantized ones. skipped: the others, with the reason.
    """

    config: dict[str, Any]
    layers: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def quantize(
    module: nn.Module,
    *,
    bits: int = 8,
    group_size: int = 64,
    predicate: Predicate | None = None,
    activations: bool = False,
    check: bool = True,
) -> Quantized:
    """Quantize Linear and Embedding layers in place, in groups of `group_size` numbers with a scale and an offset each.

    predicate: (path, layer) -> False to leave the layer, True, or {"bits": …, "group_size": …} for this layer. Layers
    whose rows do not divide into groups stay. activations: also round what 8-bit layers read, as `round_activations`.
    check: False evaluates nothing, for the sizes alone.
    Raises: UsageError for sizes that MLX does not have; CheckError if a number is not finite or no layer fits.
    """
    default = check_quantization(bits, group_size)
    layers = _quantizable(module)
    sizes_of: dict[str, dict[str, int]] = {}
    result = Quantized({**default, "mode": "affine"})
    for path, layer in layers.items():
        answer = predicate is None or predicate(path, layer)
        if answer is False:
            result.skipped[path] = "left by the model's predicate"
            continue
        sizes = default if answer is True else _check_sizes({**default, **answer}, where=path, error=UsageError)
        width = layer.weight.shape[-1]
        if width % sizes["group_size"]:
            result.skipped[path] = f"rows of {width} do not divide into groups of {sizes['group_size']}"
            continue
        sizes_of[path] = sizes
        if sizes != default:
            result.config[path] = {**sizes, "mode": "affine"}
    if not sizes_of:
        fix = "use a smaller --q-group-size" if result.skipped else "it has no Linear or Embedding"
        details = [f"{path}: {reason}" for path, reason in result.skipped.items()]
        raise CheckError("no layer can be quantized", fix=fix, details=details)
    if check:
        check_finite({f"{path}.weight": layers[path].weight for path in sizes_of})
    nn.quantize(module, class_predicate=lambda path, layer: sizes_of.get(path, False))
    if check:
        _check_scales(module, sizes_of)
    result.layers = sorted(sizes_of)
    if activations:
        result.config["activation_bits"] = ACTIVATION_BITS
        round_activations(module)
    return result


def round_activations(module: nn.Module) -> None:
    """Let layers with weights of 8 bits round what they read to 8 bits by group, for products of whole numbers.

    `nn.linear` and `nn.output` do it; layers that compute by themselves do not.
    """
    for _, layer in module.named_modules():
        if isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding) and layer.bits == ACTIVATION_BITS:
            layer.activation_bits = ACTIVATION_BITS


def rebuild(
    module: M, config: Mapping[str, Any], weights: Mapping[str, mx.array], *, where: str | Path | None = None
) -> M:
    """Quantize the layers of a fresh module that are quantized in a converted folder, ready for `load_into`.

    Raises: FormatError where config.json's "quantization" is malformed or contradicts the weights.
    """
    scaled = _with_scales(weights)
    declared = config.get("quantization")
    if declared is None:
        if scaled:
            raise FormatError(
                count_text(len(scaled), "layer is", "layers are") + " quantized, but config.json has no 'quantization'",
                where=where,
                details=sorted(scaled),
            )
        return module
    sizes_of = layer_sizes(declared, scaled, where=where)
    missing = sorted(scaled - _quantizable(module).keys())
    if missing:
        what = count_text(len(missing), "quantized layer is not in the model", "quantized layers are not in the model")
        raise FormatError(what, where=where, details=missing)
    # The fresh module's random weights are never evaluated: they are lazy until load_into replaces them.
    nn.quantize(module, class_predicate=lambda path, layer: sizes_of.get(path, False))
    if "activation_bits" in declared:
        round_activations(module)
    return module


def dequantize(
    config: Mapping[str, Any], weights: Mapping[str, mx.array], *, where: str | Path | None = None
) -> tuple[dict[str, Any], dict[str, mx.array]]:
    """Return a converted folder's config and weights without quantization; a layer gets the dtype of its scales.

    Raises: FormatError where config.json's "quantization" is malformed or contradicts the weights.
    """
    scaled = _with_scales(weights)
    plain_config = {k: v for k, v in config.items() if k not in {"quantization", "quantization_config"}}
    sizes_of = layer_sizes(config.get("quantization") or {}, scaled, where=where) if scaled else {}
    plain_weights = {}
    for name, array in weights.items():
        path, _, part = name.rpartition(".")
        if path not in sizes_of or part not in {"weight", "scales", "biases"}:
            plain_weights[name] = array
        elif part == "weight":
            plain_weights[name] = _unpack(path, array, weights, sizes_of[path], where)
            mx.eval(plain_weights[name])
    return plain_config, plain_weights


def _with_scales(weights: Mapping[str, mx.array]) -> set[str]:
    """Return the paths of the quantized layers: those with scales."""
    return {name.removesuffix(".scales") for name in weights if name.endswith(".scales")}


def layer_sizes(declared: Any, scaled: set[str], *, where: str | Path | None) -> dict[str, dict[str, int]]:
    """Return {layer: {"bits", "group_size"}} of the layers with scales, from config.json's "quantization" entry.

    Raises: FormatError where the entry is malformed or names a layer that has no scales.
    """
    if not isinstance(declared, Mapping):
        raise FormatError(f"'quantization' must be an object, found {declared!r:.60}", where=where)
    layers = {path: value for path, value in declared.items() if isinstance(value, Mapping)}
    if (bits := declared.get("activation_bits", ACTIVATION_BITS)) != ACTIVATION_BITS or type(bits) is not int:
        fix = f"use {ACTIVATION_BITS} or leave it out"
        raise FormatError(f"quantization activation_bits is {bits!r:.40}", where=where, fix=fix)
    of_all = {key: value for key, value in declared.items() if key not in layers and key != "activation_bits"}
    default = _check_sizes(of_all, where=where)
    own = {path: _check_sizes({**default, **sizes}, where=f"{where}: {path}") for path, sizes in layers.items()}
    if stray := sorted(set(own) - scaled):
        raise FormatError(
            count_text(len(stray), "layer is", "layers are") + " named in 'quantization' but not quantized",
            where=where,
            details=stray,
        )
    return {path: own.get(path, default) for path in scaled}


def _unpack(
    path: str, packed: mx.array, weights: Mapping[str, mx.array], sizes: dict[str, int], where: str | Path | None
) -> mx.array:
    """Return a layer's weight from its packed form. Shapes: packed [O, I * bits / 32] uint32 -> [O, I]."""
    scales, biases = weights[f"{path}.scales"], weights.get(f"{path}.biases")
    width = scales.shape[-1] * sizes["group_size"]
    fits = packed.dtype == mx.uint32 and packed.shape == (*scales.shape[:-1], width * sizes["bits"] // 32)
    if not fits or biases is None or biases.shape != scales.shape:
        raise FormatError(
            f"{path}.weight is not quantized to {sizes['bits']} bits in groups of {sizes['group_size']}", where=where
        )
    return mx.dequantize(packed, scales, biases, sizes["group_size"], sizes["bits"])


def _quantizable(module: nn.Module) -> dict[str, Any]:
    return {path: m for path, m in module.named_modules() if hasattr(m, "to_quantized") and "weight" in m}


def check_quantization(bits: int, group_size: int) -> dict[str, int]:
    """Return {"bits", "group_size"}. Raises: UsageError for what MLX does not have."""
    return _check_sizes({"bits": bits, "group_size": group_size}, where="--q-bits, --q-group-size", error=UsageError)


def _check_sizes(sizes: Mapping[str, Any], *, where: str | Path | None, error: type = FormatError) -> dict[str, int]:
    """Return {"bits", "group_size"} if MLX has them and the mode is affine, the only one that is written here."""
    bits, group_size, mode = sizes.get("bits"), sizes.get("group_size"), sizes.get("mode", "affine")
    unknown = sorted(set(sizes) - {"bits", "group_size", "mode"})
    for what, value, allowed in (("bits", bits, BITS), ("group_size", group_size, GROUP_SIZES)):
        if type(value) is not int or value not in allowed:
            raise error(f"quantization {what} is {value!r:.40}", where=where, fix=f"use {', '.join(map(str, allowed))}")
    if mode != "affine" or unknown:
        raise error(f"quantization {', '.join(unknown) or f'mode {mode!r:.40}'} is not supported", where=where)
    return {"bits": bits, "group_size": group_size}  # type: ignore[dict-item]


def _check_scales(module: nn.Module, paths: Collection[str]) -> None:
    """Refuse infinite scales: a group that spans more than its dtype can hold has one, and MLX then computes NaN."""
    bad = []
    for path, layer in module.named_modules():
        count = nonfinite(layer.scales) + nonfinite(layer.biases) if path in paths else 0
        bad += [f"{path}: {count_text(count, 'scale')}"] if count else []
    if bad:
        what = count_text(len(bad), "layer quantizes to NaN or Inf", "layers quantize to NaN or Inf")
        raise CheckError(what, fix="leave them out of quantization", details=bad)
