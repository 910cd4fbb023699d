"""Calls that are exactly one layer of mlx.nn: the layer, its options, and how its weights are laid out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..graph import Node
from ..lowering.ops.types import pair
from .call_tree import Call


@dataclass(frozen=True, slots=True)
class Leaf:
    """One layer of mlx.nn.

    layouts: weight name in the layer -> axis order that turns torch's array into MLX's.
    channels_last: the layer wants [B, ..., C] where torch has [B, C, ...].
    """

    layer: str
    args: tuple = ()
    options: dict[str, Any] = field(default_factory=dict)
    layouts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channels_last: bool = False
    source: Node | None = field(default=None, compare=False)  # the value that goes in
    replaced: Any = field(default=None, compare=False)  # a user's module, which is not of mlx.nn


MATCHERS: list[Callable[[Call, list[Node]], Leaf | None]] = []


def match_leaf(call: Call) -> Leaf | None:
    """The layer that a call is, or None."""
    nodes = [item for item in call.items if isinstance(item, Node)]
    if len(nodes) != len(call.items) or len(call.outputs) != 1 or not nodes or call.outputs[0] is not nodes[-1]:
        return None
    if any(value.op == "weight" for value in call.inputs) or len(call.inputs) != 1:
        return None
    for matcher in MATCHERS:
        if (leaf := matcher(call, nodes)) is not None:
            return leaf
    return None


def _matches(*ops: str) -> Callable:
    """Register a matcher for calls of a single op."""

    def register(function: Callable[[Call, Node], Leaf | None]) -> Callable:
        def matcher(call: Call, nodes: list[Node]) -> Leaf | None:
            return function(call, nodes[0]) if len(nodes) == 1 and nodes[0].op in ops else None

        MATCHERS.append(matcher)
        return function

    return register


def _own(call: Call, node: Node, **names: str) -> dict[str, Node] | None:
    """The weights among the arguments, if each stands under the name that the layer of mlx.nn gives it."""
    found = {}
    for argument, name in names.items():
        value = node.kwargs.get(argument)
        if value is None:
            continue
        if not isinstance(value, Node) or value.op != "weight" or value.args[0] != f"{call.path}.{name}":
            return None
        found[name] = value
    return found


def _short(values: tuple) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _options(**pairs: tuple[Any, Any]) -> dict[str, Any]:
    """Options that differ from the layer's default, given as (value, default)."""
    return {name: value for name, (value, default) in pairs.items() if value != default}


@_matches("aten.linear.default")
def linear(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight", bias="bias")
    if not own or "weight" not in own or own["weight"].meta.ndim != 2:
        return None
    outputs, inputs = own["weight"].meta.shape
    return Leaf("Linear", (inputs, outputs), _options(bias=("bias" in own, True)), source=node.kwargs["x"])


@_matches("aten.embedding.default")
def embedding(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight")
    return Leaf("Embedding", own["weight"].meta.shape, source=node.kwargs["indices"]) if own else None


@_matches("aten.layer_norm.default")
def layer_norm(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight", bias="bias")
    shape = node.kwargs["normalized_shape"]
    if own is None or len(shape) != 1 or (own and "weight" not in own):
        return None
    options = _options(
        eps=(node.kwargs.get("eps", 1e-5), 1e-5), affine=(bool(own), True), bias=("bias" in own or not own, True)
    )
    return Leaf("LayerNorm", (shape[0],), options, source=node.kwargs["x"])


@_matches("aten.rms_norm.default")
def rms_norm(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight")
    if not own or len(node.kwargs["normalized_shape"]) != 1 or node.kwargs.get("eps") is None:
        return None
    return Leaf("RMSNorm", own["weight"].meta.shape, _options(eps=(node.kwargs["eps"], 1e-5)), source=node.kwargs["x"])


def _written_rms_norm(call: Call, nodes: list[Node]) -> Leaf | None:
    """weight · x · rsqrt(mean(x²) + eps), written out."""
    nodes = [node for node in nodes if node.op != "aten._to_copy.default"]
    if [node.op.removeprefix("aten.").partition(".")[0] for node in nodes] != [
        "pow",
        "mean",
        "add",
        "rsqrt",
        "mul",
        "mul",
    ]:
        return None
    square, mean, shifted, scale, normed, result = nodes
    x, weight = square.kwargs["x"], f"{call.path}.weight"
    factors = [result.kwargs["x"], result.kwargs["other"]]
    own = [value for value in factors if isinstance(value, Node) and value.op == "weight"]
    right = (
        x is call.inputs[0]
        and x.meta.dtype_name == result.meta.dtype_name == "float32"
        and square.kwargs["exponent"] == 2
        and mean.kwargs == {"x": square, "dim": [-1], "keepdim": True}
        and shifted.kwargs["x"] is mean
        and isinstance(shifted.kwargs["other"], float)
        and not shifted.kwargs.get("alpha")
        and scale.kwargs["x"] is shifted
        and {normed.kwargs["x"], normed.kwargs["other"]} == {x, scale}
        and normed in factors
        and [value.args[0] for value in own] == [weight]
        and own[0].meta.ndim == 1
    )
    if not right:
        return None
    return Leaf("RMSNorm", own[0].meta.shape, _options(eps=(shifted.kwargs["other"], 1e-5)), source=x)


MATCHERS.append(_written_rms_norm)


@_matches("aten.group_norm.default")
def group_norm(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight", bias="bias")
    if own is None or len(own) not in (0, 2):
        return None
    channels = node.kwargs["x"].meta.shape[1]
    options = _options(eps=(node.kwargs.get("eps", 1e-5), 1e-5), affine=(bool(own), True))
    options["pytorch_compatible"] = True
    if not isinstance(channels, int) or node.kwargs["x"].meta.ndim < 3:
        return None
    groups = node.kwargs["num_groups"]
    return Leaf("GroupNorm", (groups, channels), options, channels_last=True, source=node.kwargs["x"])


@_matches("aten.batch_norm.default")
def batch_norm(call: Call, node: Node) -> Leaf | None:
    names = {"weight": "weight", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    own = _own(call, node, **names)
    if own is None or node.kwargs["training"] or len(own) not in (2, 4) or "running_mean" not in own:
        return None
    if node.kwargs["x"].meta.ndim > 4:
        return None
    options = _options(eps=(node.kwargs["eps"], 1e-5), affine=("weight" in own, True))
    channels = own["running_mean"].meta.shape
    return Leaf("BatchNorm", channels, options, channels_last=node.kwargs["x"].meta.ndim > 2, source=node.kwargs["x"])


def _paddings(node: Node, kernel: tuple[int, ...]) -> tuple | None:
    padding, count = node.kwargs.get("padding", 0), len(kernel)
    if padding == "valid":
        return (0,) * count
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(pair(node.kwargs.get("dilation", 1), count), kernel, strict=True)]
        return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)
    return pair(padding, count)


@_matches(*(f"aten.conv{n}d.{kind}" for n in (1, 2, 3) for kind in ("default", "padding")))
def conv(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight", bias="bias")
    if not own or "weight" not in own:
        return None
    outputs, inputs, *kernel = own["weight"].meta.shape
    count, groups = len(kernel), node.kwargs.get("groups", 1)
    padding = _paddings(node, tuple(kernel))
    if padding is None or node.kwargs["x"].meta.ndim != count + 2 or (count == 3 and groups > 1):
        return None
    options = _options(
        stride=(_short(pair(node.kwargs.get("stride", 1), count)), 1),
        padding=(_short(padding), 0),
        dilation=(_short(pair(node.kwargs.get("dilation", 1), count)), 1),
        groups=(groups, 1),
        bias=("bias" in own, True),
    )
    layouts = {"weight": (0, *range(2, count + 2), 1)}
    args = (inputs * groups, outputs, _short(tuple(kernel)) if count > 1 else kernel[0])
    return Leaf(f"Conv{count}d", args, options, layouts, True, node.kwargs["x"])


@_matches("aten.conv_transpose1d.default", "aten.conv_transpose2d.input")
def conv_transpose(call: Call, node: Node) -> Leaf | None:
    own = _own(call, node, weight="weight", bias="bias")
    if not own or "weight" not in own or node.kwargs.get("groups", 1) != 1:
        return None
    inputs, outputs, *kernel = own["weight"].meta.shape
    count = len(kernel)
    names = ("stride", "padding", "dilation", "output_padding")
    values = {name: pair(node.kwargs.get(name, 0 if "padding" in name else 1), count) for name in names}
    if any(o >= s for o, s in zip(values["output_padding"], values["stride"], strict=True)):
        return None
    if node.kwargs["x"].meta.ndim != count + 2:
        return None
    options = _options(**{name: (_short(value), 0 if "padding" in name else 1) for name, value in values.items()})
    options |= _options(bias=("bias" in own, True))
    layouts = {"weight": (1, *range(2, count + 2), 0)}
    args = (inputs, outputs, _short(tuple(kernel)) if count > 1 else kernel[0])
    return Leaf(f"ConvTranspose{count}d", args, options, layouts, True, node.kwargs["x"])
