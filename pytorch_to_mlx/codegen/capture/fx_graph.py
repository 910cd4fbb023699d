"""From torch to our graph: fx nodes become small nodes with named arguments, plain dtypes and symbolic sizes."""

import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph as FxGraph
from torch.fx import GraphModule
from torch.fx import Node as FxNode

from ..graph import DTYPES, Frame, Graph, Line, Meta, Node, Sym, Unsupported, transform
from .tensors import dtype_name, to_mlx

# Arguments that say where and how torch stores a result, never what it is.
STORAGE = {"device", "layout", "pin_memory", "memory_format", "non_blocking", "generator", "copy", "requires_grad"}
ASSERTIONS = ("_assert", "sym_constrain", "_assert_tensor_metadata", "_linalg_check_errors")


def read_graph(module: GraphModule, inputs: Callable[[FxNode], Node] | None = None) -> Graph:
    """Our graph of an fx graph of ATen calls. `inputs` makes the node of a placeholder (default: an input)."""
    made: dict[FxNode, Any] = {}
    nodes: list[Node] = []
    checks = only_checked(module.graph)
    for item in module.graph.nodes:
        if item.op == "placeholder":
            node = inputs(item) if inputs else Node(item.name, "input", meta=meta_of(item))
        elif item.op == "get_attr":
            node = Node(item.name, "constant", (to_mlx(_attribute(module, item.target)),), meta=meta_of(item))
        elif item.op == "call_function":
            if item in checks or _only_writes_input(item):
                continue
            if is_size(item):
                made[item] = symbol_of(item.meta["val"])
                continue
            node = _call(item, made)
            if isinstance(item.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool):
                made[item] = node.meta = symbol_of(item.meta["val"])  # a number read from an array
                nodes.append(node)
                continue
        elif item.op == "output":
            node = Node("output", "output", (_convert(item.args[0], made),))
        else:
            raise Unsupported(f"fx node {item.op} {item.target}")
        made[item] = node
        nodes.append(node)
    return Graph(nodes)


def is_assertion(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.name.partition("::")[2].startswith(ASSERTIONS)


def only_checked(graph: torch.fx.Graph) -> set[FxNode]:
    """The assertions of a graph, and what is computed for them alone."""
    found: set[FxNode] = set()
    for item in reversed(graph.nodes):
        if item.op == "call_function" and (is_assertion(item.target) or (item.users and found.issuperset(item.users))):
            found.add(item)
    return found


def _only_writes_input(item: FxNode) -> bool:
    """A copy back into an input that nobody reads: a side effect that the outputs do not show."""
    return str(item.target) == "aten.copy_.default" and not item.users


def is_size(item: FxNode) -> bool:
    """Whether a node only computes with sizes, so that a symbol says it all."""
    value = item.meta.get("val")
    return (
        isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)
        and "item" not in str(item.target)
        and "_local_scalar" not in str(item.target)
    )


def symbol_of(value: Any) -> Any:
    """A torch symbolic number as a Sym, or as a plain number where it is one."""
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        expr = value.node.expr
        if expr.is_number:
            return int(expr) if isinstance(value, torch.SymInt) else float(expr)
        return Sym(expr, value.node.hint if value.node.has_hint() else None)
    return value


def meta_of(item: FxNode) -> Any:
    """Shapes and dtypes of the value of an fx node."""
    value = item.meta.get("val", item.meta.get("tensor_meta"))
    return _meta(value)


def _meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor) or hasattr(value, "memory_format"):
        shape = tuple(part.expr if isinstance(part, Sym) else part for part in map(symbol_of, value.shape))
        return Meta(shape, dtype_name(value.dtype))
    if isinstance(value, list | tuple):
        return [_meta(part) for part in value]
    return None


def _attribute(module: GraphModule, target: str) -> torch.Tensor:
    for part in target.split("."):
        module = getattr(module, part)
    return module  # type: ignore[return-value]


def _convert(tree: Any, made: dict[FxNode, Any]) -> Any:
    def change(value: Any) -> Any:
        if isinstance(value, FxNode):
            return made[value]
        if isinstance(value, torch.dtype):
            return DTYPES.get(dtype_name(value), dtype_name(value))
        if isinstance(value, torch.Tensor):
            return to_mlx(value)
        return symbol_of(value)

    kinds = (FxNode, torch.dtype, torch.SymInt, torch.SymFloat, torch.SymBool, torch.Tensor)
    return transform(tree, kinds, change)


def _call(item: FxNode, made: dict[FxNode, Any]) -> Node:
    place = {"stack": stack_of(item), "trace": trace_of(item)}
    if item.target is operator.getitem:
        return Node(item.name, "getitem", _convert(tuple(item.args), made), meta=meta_of(item), **place)
    if not isinstance(item.target, torch._ops.OpOverload):
        name = getattr(item.target, "__name__", str(item.target))
        return Node(item.name, f"python.{name}", _convert(tuple(item.args), made), meta=meta_of(item), **place)
    schema = item.target._schema
    arguments: dict[str, Any] = {}
    given = dict(zip([a.name for a in schema.arguments], item.args, strict=False)) | dict(item.kwargs)
    for argument in schema.arguments:
        name = argument.name
        if name not in given or name in STORAGE:
            continue
        value = given[name]
        if (
            argument.has_default_value()
            and type(value) is type(argument.default_value)
            and value == argument.default_value
        ):
            continue
        arguments["x" if name in ("self", "input") else name] = _convert(value, made)
    op = str(item.target)
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
    """The module's class with its package; of an exported program, the class that was exported, as the graph says."""
    if isinstance(module, GraphModule) and graph is not None:
        for item in graph.nodes:
            for path, kind in (item.meta.get("nn_module_stack") or {}).values():
                if not path:
                    return kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return f"{type(module).__module__}.{type(module).__qualname__}"


def stack_of(item: FxNode) -> tuple[Frame, ...]:
    """The modules that were running when this node was traced, without the root."""
    frames = []
    for key, (path, kind) in (item.meta.get("nn_module_stack") or {}).items():
        if path and not key.startswith("_empty"):
            name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
            frames.append(Frame(path, int(key.rpartition("@")[2]) if "@" in key else 0, name))
    return tuple(frames)


def trace_of(item: FxNode) -> tuple[Line, ...]:
    """The lines outside torch that led to this node, outermost first."""
    lines = []
    for line in (item.meta.get("stack_trace") or "").splitlines():
        found = re.match(r'\s*File "(.+)", line (\d+), in ', line)
        if found and "/torch/" not in found[1] and not found[1].startswith("<"):
            lines.append(Line(found[1], int(found[2])))
    return tuple(lines)
