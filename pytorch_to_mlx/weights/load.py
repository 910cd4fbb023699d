"""Put weights into a module: strict in names, shapes, kinds of number and finite values, every problem at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ..errors import CheckError, FormatError
from .numbers import dtype_name, is_float, nonfinite

M = TypeVar("M", bound=nn.Module)


def load_into(
    module: M, weights: Mapping[str, mx.array], *, allow_nonfinite: bool = False, where: str | Path | None = None
) -> M:
    """Give a module exactly these weights, evaluated; nothing may be missing, left over or of another shape.

    Raises: FormatError listing every missing and unexpected name and every wrong shape; CheckError listing every
    weight that holds NaN or Inf.
    """
    params: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    problems = [f"missing: {name}   the model has {describe(params[name])}" for name in sorted(params.keys() - weights)]
    problems += [f"unexpected: {name}   {describe(weights[name])}" for name in sorted(weights.keys() - params.keys())]
    for name in sorted(params.keys() & weights.keys()):
        ours, theirs = params[name], weights[name]
        if ours.shape != theirs.shape or is_float(ours) != is_float(theirs):
            problems.append(f"different: {name}   the model has {describe(ours)}, the weights {describe(theirs)}")
    if problems:
        raise FormatError(
            f"the weights do not fit the model: {len(problems)} of {len(params.keys() | weights.keys())} differ",
            where=where,
            fix="the configuration contradicts the checkpoint, or the weight map is wrong",
            details=problems,
        )
    if not allow_nonfinite:
        check_finite(weights, where=where)
    module.load_weights(list(weights.items()), strict=True)
    mx.eval(module.parameters())
    return module


def check_finite(weights: Mapping[str, mx.array], *, where: str | Path | None = None) -> None:
    """Raises: CheckError naming every weight that holds NaN or Inf, with how many."""
    bad = [f"{name}: {count} of {weights[name].size}" for name in weights if (count := nonfinite(weights[name]))]
    if bad:
        raise CheckError(
            f"{len(bad)} weights hold NaN or Inf",
            where=where,
            fix="pass --allow-nonfinite if you know why",
            details=bad,
        )


def describe(array: mx.array) -> str:
    return f"{dtype_name(array.dtype)} {list(array.shape)}"


def parameter_bytes(module: nn.Module) -> int:
    """What a module's parameters take, without evaluating one."""
    params: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    return sum(p.nbytes for p in params.values())


def load_model(path: str | Path, build: Any, *, allow_nonfinite: bool = False) -> tuple[Any, dict[str, Any]]:
    """A converted folder as a module with its weights, quantized layers rebuilt, and its config.json.

    build: makes the module from the config, such as `lambda config: Model(Config.from_dict(config))`.
    """
    from .folder import read_folder
    from .quantize import rebuild

    config, weights = read_folder(path)
    module = rebuild(build(config), config, weights, where=path)
    return load_into(module, weights, allow_nonfinite=allow_nonfinite, where=path), config
