"""Read an fx graph of ATen calls as our graph: named arguments, plain dtypes, symbolic sizes."""

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.fx import Graph as FxGraph
from torch.fx import GraphModule
from torch.fx import Node as FxNode

from ..graph import DTYPES, Frame, Graph, Line, Meta, Node, Sym, Unsupported, transform
from .tensors import dtype_name, to_mlx

# Arguments that choose where and how torch stores a result, never its values.
STORAGE = {"device", "layout", "pin_memory", "memory_format", "non_blocking", "generator", "copy", "requires_grad"}
PACKAGE = str(Path(__file__).parents[1])
SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
ASSERTIONS = ("_assert", "sym_constrain", "_assert_tensor_metadata", "_linalg_check_errors")


def read_graph(module: GraphModule, inputs: Callable[[FxNode], Node] | None = None) -> Graph:
    """Read an fx graph of ATen calls as our graph.

    Assertions and arithmetic on sizes leave no nodes: sizes are sympy expressions wherever they are used.

    Args:
        inputs: makes the node of a placeholder; by default an input.

    Raises: Unsupported for an fx node of any other kind.
    """
    values: dict[FxNode, Any] = {}  # a Node, or a Sym or number in its place
    nodes: list[Node] = []
    checks = assertion_nodes(module.graph)
    for item in module.graph.nodes:
        if item.op == "placeholder":
            node = inputs(item) if inputs else Node(item.name, "input", meta=meta_of(item))
        elif item.op == "get_attr":
            node = Node(item.name, "constant", (to_mlx(_attribute(module, item.target)),), meta=meta_of(item))
        elif item.op == "call_function":
            if item in checks or _only_writes_input(item):
                continue
            if is_size(item):
                values[item] = symbol_of(item.meta["val"])
                continue
            node = _call(item, values)
            if isinstance(item.meta.get("val"), SYMBOLIC):
                values[item] = node.meta = symbol_of(item.meta["val"])  # a number read from an array
                nodes.append(node)
                continue
        elif item.op == "output":
            node = Node("output", "output", (_convert(item.args[0], values),))
        else:
            raise Unsupported(f"fx node {item.op} {item.target}")
        values[item] = node
        nodes.append(node)
    return Graph(nodes)


def is_assertion(target: Any) -> bool:
    """Tell whether the target of a call checks something and computes nothing."""
    return isinstance(target, torch._ops.OpOverload) and target._schema.name.partition("::")[2].startswith(ASSERTIONS)


def assertion_nodes(graph: FxGraph) -> set[FxNode]:
    """Return the assertions of a graph, and the nodes that nothing but assertions use."""
    checks: set[FxNode] = set()
    for item in reversed(graph.nodes):
        if item.op == "call_function" and (is_assertion(item.target) or (item.users and checks.issuperset(item.users))):
            checks.add(item)
    return checks


def _only_writes_input(item: FxNode) -> bool:
    """Tell whether a node copies into an input and nothing reads the copy: a side effect that no output shows."""
    return str(item.target) == "aten.copy_.default" and not item.users


def is_size(item: FxNode) -> bool:
    """Tell whether a node computes with sizes alone, so that a symbol can replace it."""
    return (
        isinstance(item.meta.get("val"), SYMBOLIC)
        and "item" not in str(item.target)
        and "_local_scalar" not in str(item.target)
    )


def symbol_of(value: Any) -> Any:
    """Return a torch symbolic number as a Sym, or as a plain number if it is one; anything else unchanged."""
    if isinstance(value, SYMBOLIC):
        expr = value.node.expr
        if expr.is_number:
            return int(expr) if isinstance(value, torch.SymInt) else float(expr)
        return Sym(expr, value.node.hint if value.node.has_hint() else None)
    return value


def meta_of(item: FxNode) -> Any:
    """Return the shape and dtype of an fx node's value: a Meta, a list of them, or None if it is not a tensor."""
    return _meta(item.meta.get("val", item.meta.get("tensor_meta")))


def _meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor) or hasattr(value, "memory_format"):
        shape = tuple(part.expr if isinstance(part, Sym) else part for part in map(symbol_of, value.shape))
        return Meta(shape, dtype_name(value.dtype))
    if isinstance(value, list | tuple):
        return [_meta(part) for part in value]
    return None


def _attribute(module: GraphModule, target: str) -> torch.Tensor:
    value: Any = module
    for part in target.split("."):
        value = getattr(value, part)
    return value


def _convert(tree: Any, values: dict[FxNode, Any]) -> Any:
    """Replace every fx node, dtype, tensor and symbolic number of an argument by ours."""

    def change(value: Any) -> Any:
        if isinstance(value, FxNode):
            return values[value]
        if isinstance(value, torch.dtype):
            return DTYPES.get(dtype_name(value), dtype_name(value))
        if isinstance(value, torch.Tensor):
            return to_mlx(value)
        return symbol_of(value)

    return transform(tree, (FxNode, torch.dtype, torch.Tensor, *SYMBOLIC), change)


def _call(item: FxNode, values: dict[FxNode, Any]) -> Node:
    """Return the node of a call, its arguments by schema name and without those that have their default value."""
    place = {"stack": stack_of(item), "trace": trace_of(item)}
    if item.target is operator.getitem:
        return Node(item.name, "getitem", _convert(tuple(item.args), values), meta=meta_of(item), **place)
    if not isinstance(item.target, torch._ops.OpOverload):
        name = getattr(item.target, "__name__", str(item.target))
        return Node(item.name, f"python.{name}", _convert(tuple(item.args), values), meta=meta_of(item), **place)
    schema = item.target._schema
    arguments: dict[str, Any] = {}
    by_name = dict(zip([a.name for a in schema.arguments], item.args, strict=False)) | dict(item.kwargs)
    for argument in schema.arguments:
        name = argument.name
        if name not in by_name or name in STORAGE:
            continue
        value = by_name[name]
        if (
            argument.has_default_value()
            and type(value) is type(argument.default_value)
            and value == argument.default_value
        ):
            continue
        arguments["x" if name in ("self", "input") else name] = _convert(value, values)
    op = str(item.target)
    if op.startswith("aten.to."):  # what PyTorch decomposes to the op of the same values
        op = "aten._to_copy.default"
        arguments.pop("other", None)
    if "as_strided" in op and not _contiguous(item.args[0]):
        op = f"{op.rpartition('.')[0]}.noncontiguous"
    return Node(item.name, op, (), arguments, meta_of(item), **place)


def _contiguous(item: Any) -> bool:
    value = item.meta.get("val")
    return (
        value.is_contiguous()
        if isinstance(value, torch.Tensor)
        else item.meta["tensor_meta"].memory_format == torch.contiguous_format
    )


def class_of(module: torch.nn.Module, graph: FxGraph | None) -> str:
    """Return the module's class with its package; for an exported program, the class of the module it was made from."""
    if isinstance(module, GraphModule) and graph is not None:
        for item in graph.nodes:
            for path, kind in (item.meta.get("nn_module_stack") or {}).values():
                if not path:
                    return _full_name(kind)
    return _full_name(type(module))


def stack_of(item: FxNode) -> tuple[Frame, ...]:
    """Return the modules that were running when this node was traced, outermost first, without the root."""
    frames = []
    for key, (path, kind) in (item.meta.get("nn_module_stack") or {}).items():
        if path and not key.startswith("_empty"):
            frames.append(Frame(path, int(key.rpartition("@")[2]) if "@" in key else 0, _full_name(kind)))
    return tuple(frames)


def _full_name(kind: type | str) -> str:
    """Return a class's name with its package; graphs that were saved hold the name itself."""
    return kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def trace_of(item: FxNode) -> tuple[Line, ...]:
    """Return the source lines outside torch and this package that led to this node, outermost first."""
    lines = []
    for text in (item.meta.get("stack_trace") or "").splitlines():
        match = re.match(r'\s*File "(.+)", line (\d+), in ', text)
        if match and "/torch/" not in match[1] and not match[1].startswith(("<", PACKAGE)):
            lines.append(Line(match[1], int(match[2])))
    return tuple(lines)
