"""Quantize a module's layers, and rebuild the quantized layers of a converted folder. Through mlx.nn.quantize."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from ..errors import CheckError, FormatError, UsageError
from .numbers import check_finite, nonfinite

M = TypeVar("M", bound=nn.Module)
Predicate = Callable[[str, nn.Module], bool | dict[str, int]]

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)


@dataclass
class Quantized:
    """What `quantize` did: config.json's "quantization" entry, and the layers it could not take, with the reason."""

    config: dict[str, Any]
    layers: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def quantize(
    module: nn.Module, *, bits: int = 8, group_size: int = 64, predicate: Predicate | None = None
) -> Quantized:
    """Quantize Linear and Embedding layers in place, in groups of `group_size` numbers with a scale and an offset each.

    predicate: (path, layer) -> False to leave it, True, or {"bits": …, "group_size": …} for this layer. Layers whose
    rows do not divide into groups stay.
    Raises: UsageError for sizes MLX does not have; CheckError if a number is not finite or no layer fits.
    """
    default = _checked({"bits": bits, "group_size": group_size}, where="--q-bits, --q-group-size", error=UsageError)
    chosen: dict[str, dict[str, int]] = {}
    done = Quantized({**default, "mode": "affine"})
    for path, layer in _quantizable(module).items():
        answer = predicate is None or predicate(path, layer)
        if answer is False:
            done.skipped[path] = "left by the model's predicate"
            continue
        sizes = default if answer is True else _checked({**default, **answer}, where=path, error=UsageError)
        width = layer.weight.shape[-1]
        if width % sizes["group_size"]:
            done.skipped[path] = f"rows of {width} do not divide into groups of {sizes['group_size']}"
            continue
        chosen[path] = sizes
        if sizes != default:
            done.config[path] = {**sizes, "mode": "affine"}
    if not chosen:
        fix = "use a smaller --q-group-size" if done.skipped else "it has no Linear or Embedding"
        raise CheckError("no layer can be quantized", fix=fix, details=[f"{p}: {w}" for p, w in done.skipped.items()])
    layers = _quantizable(module)
    check_finite({f"{path}.weight": layers[path].weight for path in chosen})
    nn.quantize(module, class_predicate=lambda path, layer: chosen.get(path, False))
    _check_scales(module, chosen)
    done.layers = sorted(chosen)
    return done


def rebuild(
    module: M, config: Mapping[str, Any], weights: Mapping[str, mx.array], *, where: str | Path | None = None
) -> M:
    """Make the layers quantized that are so in a converted folder, ready for `load_into`.

    Raises: FormatError where config.json's "quantization" is malformed or contradicts the weights.
    """
    scaled = {name.removesuffix(".scales") for name in weights if name.endswith(".scales")}
    declared = config.get("quantization")
    if declared is None:
        if scaled:
            raise FormatError(
                f"{len(scaled)} layers are quantized, but config.json has no 'quantization'",
                where=where,
                details=sorted(scaled),
            )
        return module
    chosen = layer_sizes(declared, scaled, where=where)
    missing = sorted(scaled - _quantizable(module).keys())
    if missing:
        raise FormatError(f"{len(missing)} quantized layers are not in the model", where=where, details=missing)
    # The fresh module's random weights are never evaluated: they are lazy until load_into replaces them.
    nn.quantize(module, class_predicate=lambda path, layer: chosen.get(path, False))
    return module


def dequantize(
    config: Mapping[str, Any], weights: Mapping[str, mx.array], *, where: str | Path | None = None
) -> tuple[dict[str, Any], dict[str, mx.array]]:
    """A converted folder's config and weights without quantization; float32 where scales are, as they store."""
    scaled = {name.removesuffix(".scales") for name in weights if name.endswith(".scales")}
    plain = {k: v for k, v in config.items() if k not in {"quantization", "quantization_config"}}
    sizes = layer_sizes(config.get("quantization") or {}, scaled, where=where) if scaled else {}
    out = {}
    for name, array in weights.items():
        path, _, last = name.rpartition(".")
        if path not in sizes or last not in {"weight", "scales", "biases"}:
            out[name] = array
        elif last == "weight":
            out[name] = _dequantized(path, array, weights, sizes[path], where)
            mx.eval(out[name])
    return plain, out


def layer_sizes(declared: Any, scaled: set[str], *, where: str | Path | None) -> dict[str, dict[str, int]]:
    """{layer: {"bits", "group_size"}} of the quantized layers, from config.json's checked entry."""
    if not isinstance(declared, Mapping):
        raise FormatError(f"'quantization' must be an object, found {declared!r:.60}", where=where)
    default = _checked({k: v for k, v in declared.items() if not isinstance(v, Mapping)}, where=where)
    own = {k: _checked({**default, **v}, where=f"{where}: {k}") for k, v in declared.items() if isinstance(v, Mapping)}
    if stray := sorted(set(own) - scaled):
        raise FormatError(
            f"{len(stray)} layers are named in 'quantization' but are not quantized", where=where, details=stray
        )
    return {path: own.get(path, default) for path in scaled}


def _dequantized(
    path: str, packed: mx.array, weights: Mapping[str, mx.array], sizes: dict[str, int], where: str | Path | None
) -> mx.array:
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


def _checked(sizes: Mapping[str, Any], *, where: str | Path | None, error: type = FormatError) -> dict[str, int]:
    """{"bits", "group_size"} if MLX has them; affine, the only mode that is written here."""
    bits, group_size, mode = sizes.get("bits"), sizes.get("group_size"), sizes.get("mode", "affine")
    unknown = sorted(set(sizes) - {"bits", "group_size", "mode"})
    for what, value, allowed in (("bits", bits, BITS), ("group_size", group_size, GROUP_SIZES)):
        if type(value) is not int or value not in allowed:
            raise error(f"quantization {what} is {value!r:.40}", where=where, fix=f"use {', '.join(map(str, allowed))}")
    if mode != "affine" or unknown:
        raise error(f"quantization {', '.join(unknown) or f'mode {mode!r:.40}'} is not supported", where=where)
    return {"bits": bits, "group_size": group_size}  # type: ignore[dict-item]


def _check_scales(module: nn.Module, chosen: dict[str, Any]) -> None:
    """A group that spans more than its dtype can hold has an infinite scale; MLX then computes NaN."""
    bad = []
    for path, layer in module.named_modules():
        if path in chosen:
            count = nonfinite(layer.scales) + nonfinite(layer.biases)
            bad += [f"{path}: {count} scales"] if count else []
    if bad:
        raise CheckError(f"{len(bad)} layers quantize to NaN or Inf", fix="leave them out of quantization", details=bad)
