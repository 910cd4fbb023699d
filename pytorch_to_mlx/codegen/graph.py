"""The graph between capture and lowering: a list of small printable nodes, free of torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..errors import FormatError

DTYPES = {
    "bool": mx.bool_,
    "uint8": mx.uint8,
    "uint16": mx.uint16,
    "uint32": mx.uint32,
    "uint64": mx.uint64,
    "int8": mx.int8,
    "int16": mx.int16,
    "int32": mx.int32,
    "int64": mx.int64,
    "float16": mx.float16,
    "bfloat16": mx.bfloat16,
    "float32": mx.float32,
    "float64": mx.float64,
    "complex64": mx.complex64,
}


class Unsupported(FormatError):
    """An op or an argument that is not implemented; nothing is approximated in silence."""

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.fix = fix
        super().__init__(what, where=where, fix=fix)

    def at(self, node: "Node") -> "Unsupported":
        """Return the same error with the op's module and line in the user's source."""
        if self.where:
            return self
        place = " ".join(part for part in (node.where, f"(in module {node.module})" if node.module else "") if part)
        return Unsupported(self.what, where=place or node.name, fix=self.fix)


@dataclass(frozen=True, slots=True)
class Meta:
    """Shape and dtype of a value. A size is an int, or a sympy expression of the dynamic sizes."""

    shape: tuple
    dtype_name: str

    @property
    def dtype(self) -> mx.Dtype:
        """The MLX dtype. Raises: Unsupported if MLX does not have it."""
        if self.dtype_name not in DTYPES:
            raise Unsupported(f"dtype {self.dtype_name} does not exist in MLX")
        return DTYPES[self.dtype_name]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype_name}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Sym:
    """A dynamic size, or a number computed from dynamic sizes, as a sympy expression.

    hint: its value in the example, where one is known.
    """

    expr: Any
    hint: Any = None

    def __str__(self) -> str:
        return str(self.expr)


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a torch module: its dotted path, which call of it, and its class."""

    path: str
    call: int
    class_name: str


@dataclass(frozen=True, slots=True)
class Line:
    """A place in source code."""

    file: str
    number: int


@dataclass(eq=False, slots=True, repr=False)
class Node:
    """One operation: `name = op(*args, **kwargs)`.

    op: an ATen overload ("aten.add.Tensor"; every argument by name, "self" and "input" as x), or one of
    "input", "weight" (its dotted name), "constant" (an array), "noise" (its kind, the node that draws it, its place
    among all draws), "getitem", "call", "output".
    stack: the torch modules that were running, outermost (but the root) first. trace: the user's source lines.
    """

    name: str
    op: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    meta: Any = None
    stack: tuple["Frame", ...] = ()
    trace: tuple["Line", ...] = ()

    @property
    def module(self) -> str:
        """Dotted path of the torch module that ran it, "" for the root."""
        return self.stack[-1].path if self.stack else ""

    @property
    def where(self) -> str:
        """ "file:line" of the innermost line of the user's source."""
        return f"{self.trace[-1].file}:{self.trace[-1].number}" if self.trace else ""

    def inputs(self) -> Iterator["Node"]:
        """Yield the nodes that this one reads, as often as it reads them."""
        yield from leaves((self.args, self.kwargs), Node)

    def __str__(self) -> str:
        parts = [_show(item) for item in self.args] + [f"{key}={_show(item)}" for key, item in self.kwargs.items()]
        meta = f"  # {_show(self.meta)}" if self.meta is not None else ""
        return f"{self.name} = {self.op}({', '.join(parts)}){meta}"

    __repr__ = __str__  # the default would print the whole graph behind the arguments


@dataclass(slots=True)
class Graph:
    """Nodes in the order they run; the last one is the output."""

    nodes: list[Node]

    def inputs(self) -> list[Node]:
        """Return the nodes that stand for the inputs, in the order of the call."""
        return [node for node in self.nodes if node.op == "input"]

    def noises(self) -> list[Node]:
        """Return the nodes that stand for noise that the caller may give, in the order of the draws."""
        return [node for node in self.nodes if node.op == "noise"]

    @property
    def output(self) -> Node:
        """The node whose argument is what the graph returns."""
        return self.nodes[-1]

    def users(self) -> dict[Node, list[Node]]:
        """Return for every node the nodes that read it, each once."""
        readers: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in dict.fromkeys(node.inputs()):
                readers[source].append(node)
        return readers

    def __str__(self) -> str:
        return "\n".join(map(str, self.nodes))


def leaves(tree: Any, kind: type) -> Iterator[Any]:
    """Yield every value of type `kind` inside nested tuples, lists and dicts."""
    if isinstance(tree, kind):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from leaves(part, kind)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from leaves(part, kind)


def transform(tree: Any, kind: type | tuple[type, ...], change: Callable[[Any], Any]) -> Any:
    """Return the same nested tuples, lists and dicts with every value of type `kind` changed."""
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, list):
        return [transform(part, kind, change) for part in tree]
    if isinstance(tree, tuple) and not hasattr(tree, "_fields"):
        return tuple(transform(part, kind, change) for part in tree)
    if isinstance(tree, dict):
        return {key: transform(part, kind, change) for key, part in tree.items()}
    return tree


def _show(item: Any) -> str:
    if isinstance(item, Node):
        return item.name
    if isinstance(item, list | tuple):
        inside = ", ".join(map(_show, item))
        return f"[{inside}]" if isinstance(item, list) else f"({inside})"
    return str(item) if isinstance(item, Sym | Meta | mx.Dtype) else repr(item)
