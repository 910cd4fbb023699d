"""Draws of random numbers: made inputs of the graph, and handed out to PyTorch so that both sides compute on the same.

Every draw is computed from noise of one of two kinds, standard normal or uniform in [0, 1), by the formulas below;
`lowering/ops/random.py` holds the same ones in MLX.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..graph import Graph, Meta, Node
from ..lowering.ops.op_table import USER, find
from ..lowering.ops.random import NORMAL, UNIFORM, draws_noise
from .tensors import dtype_name


class NoiseError(RuntimeError):
    """PyTorch drew other noise than it was given."""


class HandOut(TorchDispatchMode):
    """While it is on, ops that draw use given noise, in the order in which they run.

    noise: what to hand out; None draws it anew. used: the noise of every op so far.
    """

    def __init__(self, noise: Sequence[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.noise = noise
        self.used: list[torch.Tensor] = []
        self._generator = torch.Generator().manual_seed(0)  # so that the state of torch's own shows other draws

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Run an op; compute the result of one that draws from the next noise.

        Raises: NoiseError if the noise that was given has another shape, or there is no more.
        """
        kwargs = kwargs or {}
        if not is_draw(func, args, kwargs):
            return func(*args, **kwargs)
        given = None
        if self.noise is not None:
            if len(self.used) == len(self.noise):
                raise NoiseError(f"{func} draws more than the {len(self.noise)} arrays of noise")
            given = self.noise[len(self.used)]
        result, noise = drawn(func, args, kwargs, given, self._generator)
        self.used.append(noise)
        return result


def arguments_of(func: Any, args: Sequence[Any], kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call of an op by name, with the defaults of those that are not given."""
    schema = func._schema.arguments
    defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    return defaults | dict(zip([argument.name for argument in schema], args, strict=False)) | dict(kwargs)


def is_draw(func: Any, args: Sequence[Any], kwargs: Any) -> bool:
    """Tell whether a call of an op draws noise that can be handed out."""
    if not isinstance(func, torch._ops.OpOverload) or _name(func) not in {*NORMAL, *UNIFORM}:
        return False
    return draws_noise(_name(func), arguments_of(func, args, kwargs))


def _name(func: Any) -> str:
    """Return an op's name without library, overload and the marks of its variants, "normal" of aten.normal_."""
    return func._schema.name.partition("::")[2].removesuffix("_functional").rstrip("_")


def drawn(
    func: Any, args: tuple, kwargs: Any, noise: torch.Tensor | None, generator: torch.Generator | None = None
) -> tuple[Any, torch.Tensor]:
    """Return the result of an op that draws, computed from noise, and the noise; None draws that from a generator.

    Raises: NoiseError for noise of another shape.
    """
    arguments = arguments_of(func, args, kwargs)
    in_place = func._schema.is_mutable
    with torch.random.fork_rng(devices=[]):
        result = args[0] if in_place else func(*args, **kwargs)  # for its shape and dtype
    first = result[0] if isinstance(result, tuple) else result
    shape = list(args[0].shape if _name(func) == "multinomial" else first.shape)
    dtype = first.dtype if first.is_floating_point() else torch.float32
    if noise is None:
        noise = (torch.randn if _name(func) in NORMAL else torch.rand)(shape, dtype=dtype, generator=generator)
    if list(noise.shape) != shape:
        raise NoiseError(f"{func} draws noise of shape {shape}, not {list(noise.shape)}")
    values = _values(_name(func), arguments, noise.to(dtype))
    if isinstance(result, tuple):
        return values, noise
    return (result.copy_(values) if in_place else values.to(first.dtype)), noise


def _values(name: str, arguments: dict[str, Any], noise: torch.Tensor) -> Any:
    """Return what an op draws. Shapes: noise as `drawn` makes it."""
    a = arguments
    x: Any = a.get("self", a.get("input"))
    if name in ("randn", "randn_like", "rand", "rand_like"):
        return noise
    if name in ("normal", "log_normal"):
        values = a.get("mean", 0) + a.get("std", 1) * noise
        return values.exp() if name == "log_normal" else values
    if name == "uniform":
        return a["from"] + (a["to"] - a["from"]) * noise
    if name == "bernoulli":
        return noise < a.get("p", x)
    if name == "native_dropout":
        mask = noise < 1 - a["p"]
        return x * mask * (1 / (1 - a["p"]) if a["p"] < 1 else 0), mask
    if name == "exponential":
        return -torch.log1p(-noise) / a["lambd"]
    if name == "cauchy":
        return a["median"] + a["sigma"] * torch.tan(torch.pi * (noise - 0.5))
    if name == "geometric":
        return torch.ceil(torch.log1p(-noise) / torch.log1p(-torch.as_tensor(a["p"]))).clamp(min=1)
    if name in ("randint", "randint_like"):
        low = a.get("low", 0)
        return low + torch.floor(noise * (a["high"] - low))
    if name == "randperm":
        return torch.argsort(noise, stable=True)
    keys = torch.log(x.to(noise.dtype)) - torch.log(-torch.log(noise))  # multinomial, by Gumbel's way
    return torch.topk(keys, a["num_samples"], dim=-1).indices


def draw_nodes(graph: torch.fx.Graph) -> Iterator[torch.fx.Node]:
    """Yield the nodes of an exported graph that draw noise, in the order in which they run."""
    yield from (n for n in graph.nodes if n.op == "call_function" and is_draw(n.target, n.args, n.kwargs))


def noise_as_inputs(graph: Graph, traced: torch.fx.Graph) -> None:
    """Make the noise of every draw an input of the graph, `noise_1` and so on, but for ops that a user lowers.

    graph: what was read from `traced`; it is changed.
    """
    by_name = {node.name: node for node in graph.nodes}
    for number, fx_node in enumerate(draw_nodes(traced), 1):
        node = by_name.get(fx_node.name)
        if node is None or "noise" in node.kwargs or find(node.op).module == USER:
            continue
        kind = "normal" if _name(fx_node.target) in NORMAL else "uniform"
        result = node.meta[0] if isinstance(node.meta, list) else node.meta
        shape = node.kwargs["x"].meta.shape if _name(fx_node.target) == "multinomial" else result.shape
        is_float = getattr(torch, result.dtype_name).is_floating_point
        meta = Meta(shape, result.dtype_name if is_float else dtype_name(torch.float32))
        noise = Node(f"noise_{number}", "noise", (kind, fx_node.name, number - 1), meta=meta)
        graph.nodes.insert(graph.nodes.index(node), noise)
        node.kwargs = node.kwargs | {"noise": noise}
