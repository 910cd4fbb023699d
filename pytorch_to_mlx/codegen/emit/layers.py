"""Module calls that are exactly one layer of mlx.nn: the layer, its options, and how its weights are laid out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from ..extensions import Replacement, replacement_for
from ..graph import Node
from ..lowering.ops.types import pair
from .call_tree import Call


@dataclass
class UserModule:
    """An MLX module that the user registered, in place of one submodule.

    weights: its arrays by name. originals: the names of the submodule's tensors. names: for each call the parameter
    of forward that an input goes to. places: for each call which result of forward an output is. n_results: how many
    tensors forward returns.
    """

    replacement: Replacement
    weights: dict[str, mx.array]
    originals: list[str]
    names: dict[Call, dict[Node, str]] = field(default_factory=dict)
    places: dict[Call, dict[Node, int]] = field(default_factory=dict)
    n_results: dict[Call, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: a class of mlx.nn with its arguments, or a user's module.

    layouts: weight name in the layer -> axis order that turns torch's array into MLX's.
    channels_last: the layer takes and returns [B, ..., C] where torch has [B, C, ...].
    """

    class_name: str
    args: tuple = ()
    options: dict[str, Any] = field(default_factory=dict)
    layouts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channels_last: bool = False
    user_module: UserModule | None = field(default=None, compare=False)


Matcher = Callable[[Call, list[Node]], Layer | None]
MATCHERS: list[Matcher] = []
# of the options that `_options` leaves out
DEFAULTS: dict[str, Any] = {"bias": True, "affine": True, "eps": 1e-5, "stride": 1, "padding": 0, "dilation": 1}
DEFAULTS |= {"groups": 1, "output_padding": 0}


def find_layers(roots: Iterable[Call]) -> dict[str, Layer]:
    """Return the modules, by path, whose every call is the same layer of mlx.nn."""
    layers: dict[str, Layer | None] = {}
    for call in (call for root in roots for call in root.calls()):
        if not call.path or replacement_for(call.class_name):
            continue
        layer = match_layer(call)
        layers[call.path] = layer if layers.get(call.path, layer) == layer else None
    return {path: layer for path, layer in layers.items() if layer is not None}


def match_layer(call: Call) -> Layer | None:
    """Return the layer that a call with one input and one output is; None if it is not exactly a layer."""
    nodes = [item for item in call.items if isinstance(item, Node)]
    if len(nodes) != len(call.items) or len(call.outputs) != 1 or not nodes or call.outputs[0] is not nodes[-1]:
        return None
    if any(value.op == "weight" for value in call.inputs) or len(call.inputs) != 1:
        return None
    for matcher in MATCHERS:
        if (layer := matcher(call, nodes)) is not None:
            return layer
    return None


def _matches(*ops: str) -> Callable:
    """Register a matcher for calls of a single op."""

    def register(function: Callable[[Call, Node], Layer | None]) -> Callable:
        def matcher(call: Call, nodes: list[Node]) -> Layer | None:
            return function(call, nodes[0]) if len(nodes) == 1 and nodes[0].op in ops else None

        MATCHERS.append(matcher)
        return function

    return register


def _own_weights(call: Call, node: Node, **names: str) -> dict[str, Node] | None:
    """Return the weights among the arguments, if each has the name that the layer of mlx.nn gives it."""
    weights = {}
    for argument, name in names.items():
        value = node.kwargs.get(argument)
        if value is None:
            continue
        if not isinstance(value, Node) or value.op != "weight" or value.args[0] != f"{call.path}.{name}":
            return None
        weights[name] = value
    return weights


def _one_if_equal(values: tuple) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _options(**pairs: tuple[Any, Any]) -> dict[str, Any]:
    """Return the options that differ from the layer's default. pairs: (value, default) by name."""
    return {name: value for name, (value, default) in pairs.items() if value != default}


@_matches("aten.linear.default")
def linear(call: Call, node: Node) -> Layer | None:
    """Match x · Wᵀ + b."""
    weights = _own_weights(call, node, weight="weight", bias="bias")
    if not weights or "weight" not in weights or weights["weight"].meta.ndim != 2:
        return None
    n_out, n_in = weights["weight"].meta.shape
    return Layer("Linear", (n_in, n_out), _options(bias=("bias" in weights, True)))


@_matches("aten.embedding.default")
def embedding(call: Call, node: Node) -> Layer | None:
    """Match rows of a table. A padding index and sparse gradients matter in training only."""
    weights = _own_weights(call, node, weight="weight")
    return Layer("Embedding", weights["weight"].meta.shape) if weights else None


@_matches("aten.layer_norm.default")
def layer_norm(call: Call, node: Node) -> Layer | None:
    """Match normalization over the last axis; nn.LayerNorm cannot have a bias without a weight."""
    weights = _own_weights(call, node, weight="weight", bias="bias")
    shape = node.kwargs["normalized_shape"]
    if weights is None or len(shape) != 1 or (weights and "weight" not in weights):
        return None
    options = _options(
        eps=(node.kwargs.get("eps", 1e-5), 1e-5),
        affine=(bool(weights), True),
        bias=("bias" in weights or not weights, True),
    )
    return Layer("LayerNorm", (shape[0],), options)


@_matches("aten.rms_norm.default")
def rms_norm(call: Call, node: Node) -> Layer | None:
    """Match normalization over the last axis with a given eps; torch's default eps depends on the dtype."""
    weights = _own_weights(call, node, weight="weight")
    if not weights or len(node.kwargs["normalized_shape"]) != 1 or node.kwargs.get("eps") is None:
        return None
    return Layer("RMSNorm", weights["weight"].meta.shape, _options(eps=(node.kwargs["eps"], 1e-5)))


def _spelled_out_rms_norm(call: Call, nodes: list[Node]) -> Layer | None:
    """Match weight · x · rsqrt(mean(x²) + eps) in float32, written as single ops."""
    nodes = [node for node in nodes if node.op != "aten._to_copy.default"]
    ops = [node.op.removeprefix("aten.").partition(".")[0] for node in nodes]
    if ops != ["pow", "mean", "add", "rsqrt", "mul", "mul"]:
        return None
    square, mean, shifted, scale, normed, result = nodes
    x, weight = square.kwargs["x"], f"{call.path}.weight"
    factors = [result.kwargs["x"], result.kwargs["other"]]
    weights = [value for value in factors if isinstance(value, Node) and value.op == "weight"]
    is_rms_norm = (
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
        and [value.args[0] for value in weights] == [weight]
        and weights[0].meta.ndim == 1
    )
    if not is_rms_norm:
        return None
    return Layer("RMSNorm", weights[0].meta.shape, _options(eps=(shifted.kwargs["other"], 1e-5)))


MATCHERS.append(_spelled_out_rms_norm)


@_matches("aten.group_norm.default")
def group_norm(call: Call, node: Node) -> Layer | None:
    """Match normalization of groups of neighbouring channels, with weight and bias or with neither."""
    weights = _own_weights(call, node, weight="weight", bias="bias")
    if weights is None or len(weights) not in (0, 2):
        return None
    channels = node.kwargs["x"].meta.shape[1]
    options = _options(eps=(node.kwargs.get("eps", 1e-5), 1e-5), affine=(bool(weights), True))
    options["pytorch_compatible"] = True
    if not isinstance(channels, int) or node.kwargs["x"].meta.ndim < 3:
        return None
    groups = node.kwargs["num_groups"]
    return Layer("GroupNorm", (groups, channels), options, channels_last=True)


@_matches("aten.batch_norm.default")
def batch_norm(call: Call, node: Node) -> Layer | None:
    """Match normalization by running statistics, of up to four axes, as nn.BatchNorm takes them."""
    names = {"weight": "weight", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    weights = _own_weights(call, node, **names)
    if weights is None or node.kwargs["training"] or len(weights) not in (2, 4) or "running_mean" not in weights:
        return None
    if node.kwargs["x"].meta.ndim > 4:
        return None
    options = _options(eps=(node.kwargs["eps"], 1e-5), affine=("weight" in weights, True))
    channels = weights["running_mean"].meta.shape
    return Layer("BatchNorm", channels, options, channels_last=node.kwargs["x"].meta.ndim > 2)


def _paddings(node: Node, kernel: tuple[int, ...]) -> tuple | None:
    """Return the padding of every axis; None where it differs between the two ends of one."""
    padding, count = node.kwargs.get("padding", 0), len(kernel)
    if padding == "valid":
        return (0,) * count
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(pair(node.kwargs.get("dilation", 1), count), kernel, strict=True)]
        return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)
    return pair(padding, count)


@_matches(*(f"aten.conv{n}d.{kind}" for n in (1, 2, 3) for kind in ("default", "padding")))
def conv(call: Call, node: Node) -> Layer | None:
    """Match a convolution of batched input; nn.Conv3d has no groups."""
    weights = _own_weights(call, node, weight="weight", bias="bias")
    if not weights or "weight" not in weights:
        return None
    n_out, n_in, *kernel = weights["weight"].meta.shape
    count, groups = len(kernel), node.kwargs.get("groups", 1)
    padding = _paddings(node, tuple(kernel))
    if padding is None or node.kwargs["x"].meta.ndim != count + 2 or (count == 3 and groups > 1):
        return None
    options = _options(
        stride=(_one_if_equal(pair(node.kwargs.get("stride", 1), count)), 1),
        padding=(_one_if_equal(padding), 0),
        dilation=(_one_if_equal(pair(node.kwargs.get("dilation", 1), count)), 1),
        groups=(groups, 1),
        bias=("bias" in weights, True),
    )
    layouts = {"weight": (0, *range(2, count + 2), 1)}
    args = (n_in * groups, n_out, _one_if_equal(tuple(kernel)) if count > 1 else kernel[0])
    return Layer(f"Conv{count}d", args, options, layouts, channels_last=True)


@_matches("aten.conv_transpose1d.default", "aten.conv_transpose2d.input")
def conv_transpose(call: Call, node: Node) -> Layer | None:
    """Match a transposed convolution of batched input, without groups, of paddings that MLX takes."""
    weights = _own_weights(call, node, weight="weight", bias="bias")
    if not weights or "weight" not in weights or node.kwargs.get("groups", 1) != 1:
        return None
    n_in, n_out, *kernel = weights["weight"].meta.shape
    count = len(kernel)
    names = ("stride", "padding", "dilation", "output_padding")
    defaults = {name: 0 if "padding" in name else 1 for name in names}
    values = {name: pair(node.kwargs.get(name, defaults[name]), count) for name in names}
    sizes = zip(kernel, *(values[name] for name in names), strict=True)
    if any(o >= s or p > d * (k - 1) for k, s, p, d, o in sizes):
        return None
    if node.kwargs["x"].meta.ndim != count + 2:
        return None
    options = _options(**{name: (_one_if_equal(values[name]), defaults[name]) for name in names})
    options |= _options(bias=("bias" in weights, True))
    layouts = {"weight": (1, *range(2, count + 2), 0)}
    args = (n_in, n_out, _one_if_equal(tuple(kernel)) if count > 1 else kernel[0])
    return Layer(f"ConvTranspose{count}d", args, options, layouts, channels_last=True)
