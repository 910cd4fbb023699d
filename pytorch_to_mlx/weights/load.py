"""Put weights into a module: strict in names, shapes, kinds of number and finite values, every problem at once."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ..backend.dtype import compute_dtype, on_cpu
from ..backend.machine import slow_parts
from ..backend.native import kernels
from ..checkpoint import Checkpoint, open_checkpoint
from ..config import check_repeats
from ..errors import FormatError
from ..forks import require_own_threads
from ..progress import note
from .apply import apply
from .folder import is_converted
from .numbers import check_finite, dtype_name, is_float
from .quantize import dequantize as unpack
from .quantize import rebuild
from .rules import WeightMap

M = TypeVar("M", bound=nn.Module)


def load_into(
    module: M, weights: Mapping[str, mx.array], *, allow_nonfinite: bool = False, where: str | Path | None = None
) -> M:
    """Give a module exactly these weights, evaluated; nothing may be missing, left over or of another shape.

    Raises: FormatError listing every missing and unexpected name and every wrong shape; CheckError listing every
    weight that holds NaN or Inf.
    """
    require_own_threads()
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
    _warn_once_if_slow()
    module.load_weights(list(weights.items()), strict=True)
    mx.eval(module.parameters())
    return module


@cache
def _warn_once_if_slow() -> None:
    """Say once, where a listener hears it, what `doctor` says of a machine without the fast parts."""
    for problem, fix in slow_parts()[:1]:
        note(f"warning: {problem}; to mend it: {fix}; more: pytorch-to-mlx doctor")


def describe(array: mx.array) -> str:
    return f"{dtype_name(array.dtype)} {list(array.shape)}"


def load_model(
    path: str | Path,
    build: Callable[[dict[str, Any]], M],
    *,
    sizes: Callable[[dict[str, Any]], Any] | None = None,
    weight_map: WeightMap | None = None,
    open_release: Callable[[Path], Checkpoint] | None = None,
    open_converted: Callable[[Path], Checkpoint] = open_checkpoint,
    dequantize: bool | None = None,
    runs_packed: bool = False,
    dtype_of: Callable[[str, mx.array], mx.Dtype] | None = None,
    allow_nonfinite: bool = False,
) -> tuple[M, dict[str, Any]]:
    """A module with its weights, ready to compute, and its config: the one way that pipelines load.

    path: a converted folder, opened by `open_converted`, or, with `weight_map`, a checkpoint of the original, opened by
    `open_release`.
    build: makes the module from the config, such as `lambda config: Model(Config.from_dict(config))`. sizes: reads the
    config alone, such as `Config.from_dict`; a config that asks for more layers than there are tensors is not built.
    On a CPU half precision is computed in float32 and quantized layers are unpacked (`dequantize` None), because MLX's
    CPU kernels are slow in both; dtype_of says otherwise for single weights. runs_packed: the model's layers go through
    `backend.ops`, whose kernels multiply by packed weights; where they are, nothing is unpacked.
    """
    require_own_threads()
    path = Path(path)
    ready = weight_map is None or is_converted(path)
    with (open_converted if ready else open_release or open_checkpoint)(path) as checkpoint:
        checkpoint.tell()
        config = checkpoint.config or {}
        if weight_map is None or checkpoint.kind == "mlx":
            weights = {name: checkpoint[name] for name in checkpoint}
        else:
            weights = apply(weight_map, checkpoint).weights
    if sizes is not None:
        check_repeats(sizes(config), len(weights), where=path)
    unpacks = on_cpu() and not (runs_packed and kernels())
    if dequantize or (dequantize is None and unpacks and "quantization" in config):
        config, weights = unpack(config, weights, where=path)
    module = rebuild(build(config), config, weights, where=path)
    dtype_of = dtype_of or (lambda _, array: compute_dtype(array.dtype))
    weights = {name: array.astype(dtype_of(name, array)) for name, array in weights.items()}
    return load_into(module, weights, allow_nonfinite=allow_nonfinite, where=path), config
