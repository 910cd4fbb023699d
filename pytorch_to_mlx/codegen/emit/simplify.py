"""Exact simplifications of a graph: drop what changes nothing, merge chains of views, shorten masks and indexing."""

from collections.abc import Collection, Mapping
from typing import Any

from ..graph import Graph, Meta, Node, Sym, leaves, transform
from ..lowering.ops.random import is_random


def _ops(names: str) -> set[str]:
    return {f"aten.{name}" for name in names.split()}


COPIES = _ops(
    "clone.default contiguous.default alias.default alias_copy.default detach.default lift_fresh.default "
    "lift_fresh_copy.default lift.default dropout.default feature_dropout.default alpha_dropout.default "
    "resolve_conj.default resolve_neg.default"
)
VIEWS = _ops(
    "view.default reshape.default _unsafe_view.default unsqueeze.default squeeze.dim squeeze.dims squeeze.default "
    "flatten.using_ints unflatten.int"
)


def simplify(graph: Graph, hints: Mapping[Any, int], updates: dict[str, Node] | None = None) -> Graph:
    """Return an equal graph with fewer nodes. Nodes are changed in place.

    hints: the dynamic sizes of the example. updates: the new values of buffers, which stay; changed to those that are
    left.
    """
    updates = {} if updates is None else updates
    equal: dict[Node, Node] = {}  # a dropped node -> the earlier node with its value
    facts = Facts()
    first: dict[Any, Node] = {}
    for node in graph.nodes:
        node.args = _replace(node.args, equal)
        node.kwargs = _replace(node.kwargs, equal)
        repeated = _repeated_input(node, facts)
        if repeated is not None:
            equal[node] = repeated
            continue
        if (twin := first.setdefault(_key(node), node)) is not node:
            equal[node] = twin
            continue
        _merge_views(node)
        _inline_number(node)
        _index_to_view(node, hints)
        _drop_true_mask(node, facts)
        _simplify_attention(node, facts)
        facts.learn(node)
    updates.update({name: _replace(node, equal) for name, node in updates.items()})
    return remove_dead(graph, updates.values())


def remove_dead(graph: Graph, results: Collection[Node] = ()) -> Graph:
    """Return the graph without nodes that nothing uses, but for further results.

    What shows a size first stays where that is used.
    """
    first: dict[Any, Node] = {}
    for node in graph.nodes:
        for symbol in _symbols(node.meta):
            first.setdefault(symbol, node)
    alive = {*leaves(graph.output.args, Node), *results}
    used: set[Any] = set()  # symbols in the arguments of what is alive
    shown: set[Any] = set()  # and in its shapes
    for node in reversed(graph.nodes):
        symbols = used | shown if isinstance(node.meta, Sym) else used
        shows_first = any(first.get(symbol) is node for symbol in symbols & _symbols(node.meta))
        if node in alive or node.op in ("input", "output") or shows_first:
            alive.add(node)
            alive |= set(node.inputs())
            used |= _symbols((node.args, node.kwargs))
            shown |= _symbols(node.meta)
    return Graph([node for node in graph.nodes if node in alive])


def _symbols(tree: Any) -> set[Any]:
    """Return the dynamic sizes in arguments or announced results."""
    sizes = [size.expr for size in leaves(tree, Sym)]
    sizes += [size for meta in leaves(tree, Meta) for size in meta.shape if not isinstance(size, int)]
    return {symbol for size in sizes for symbol in size.free_symbols}


def _replace(tree: Any, equal: Mapping[Node, Node]) -> Any:
    def last(node: Node) -> Node:
        while node in equal:
            node = equal[node]
        return node

    return transform(tree, Node, last)


def _repeated_input(node: Node, facts: "Facts") -> Node | None:
    """Return the input that a node only repeats."""
    x = node.kwargs.get("x")
    if not isinstance(x, Node) or not isinstance(x.meta, Meta):
        return None
    if node.op in COPIES and node.meta == x.meta and not (node.kwargs.get("train") and node.kwargs.get("p")):
        return x
    if node.meta == x.meta:
        if node.op in ("aten._to_copy.default", "aten.to.dtype", "aten.type_as.default"):
            return x
        if node.op == "aten.slice.Tensor" and node.kwargs.get("step", 1) == 1:
            return x
        if node.op in VIEWS or node.op == "aten.expand.default":
            return x
        other = node.kwargs.get("other")
        if node.op in _ops("add.Tensor add.Scalar sub.Tensor sub.Scalar") and _is_number(other, 0):
            return x
        if node.op in _ops("mul.Tensor mul.Scalar div.Tensor div.Scalar") and _is_number(other, 1):
            return x
    if node.op == "aten.where.self" and x.meta == node.meta and facts.all_true(node.kwargs["condition"]):
        return x
    if node.op in _ops("__and__.Tensor bitwise_and.Tensor logical_and.default") and node.meta.dtype_name == "bool":
        other = node.kwargs["other"]
        for one, two in ((x, other), (other, x)):
            if facts.all_true(one) and isinstance(two, Node) and two.meta == node.meta:
                return two
    return None


def _is_number(value: Any, number: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == number


class Facts:
    """What follows about values from the ops before them: all true (not zero), or never negative."""

    def __init__(self) -> None:
        self._true: set[Node] = set()
        self._not_negative: set[Node] = set()

    def all_true(self, item: Any) -> bool:
        """Return whether an argument is an array without a false element."""
        return isinstance(item, Node) and item in self._true

    def learn(self, node: Node) -> None:
        """Conclude what can be concluded about a node from its inputs."""
        x = node.kwargs.get("x")
        moves = node.op in VIEWS or node.op in _ops(
            "expand.default slice.Tensor permute.default transpose.int _to_copy.default"
        )
        if node.op in _ops("ones.default new_ones.default ones_like.default"):
            self._true.add(node)
        elif node.op in _ops("full.default new_full.default full_like.default"):
            value = node.kwargs["fill_value"]
            if isinstance(value, bool | int | float) and value:
                self._true.add(node)
        elif node.op.startswith("aten.arange"):
            start = node.kwargs.get("start", 0)
            if isinstance(start, int) and start >= 0 and node.kwargs.get("step", 1) == 1:
                self._not_negative.add(node)
        elif moves and isinstance(x, Node):
            for nodes in (self._true, self._not_negative):
                if x in nodes and node.meta.dtype_name in ("bool", x.meta.dtype_name):
                    nodes.add(node)
        elif node.op == "aten.ge.Scalar" and _is_number(node.kwargs["other"], 0) and x in self._not_negative:
            self._true.add(node)
        elif node.op in _ops("__and__.Tensor bitwise_and.Tensor logical_and.default"):
            if self.all_true(x) and self.all_true(node.kwargs["other"]):
                self._true.add(node)


def _key(node: Node) -> Any:
    """Return a key that only equal values share: the same op on the same arguments in the same module call."""
    if node.op in ("input", "weight", "constant", "noise", "output", "getitem") or not isinstance(node.meta, Meta):
        return id(node)
    if is_random(node.op):
        return id(node)

    def name(item: Node | Sym) -> Any:
        return item if isinstance(item, Sym) else id(item)

    return (node.op, node.stack, repr(transform((node.args, node.kwargs), (Node, Sym), name)))


NUMBER_OPERANDS = _ops("add.Tensor sub.Tensor mul.Tensor div.Tensor minimum.default maximum.default where.self")


def _inline_number(node: Node) -> None:
    """Replace an array that is filled with one number, next to another array, by that number."""
    if node.op not in NUMBER_OPERANDS or node.kwargs.get("alpha", 1) != 1:
        return
    for one, two in (("x", "other"), ("other", "x")):
        full, array = node.kwargs[one], node.kwargs[two]
        if one == "x" and node.op != "aten.where.self":
            continue
        if not isinstance(full, Node) or not isinstance(array, Node) or array.meta != node.meta:
            continue
        value = _filled_with(full)
        if value is not None and full.meta.dtype_name == node.meta.dtype_name:
            node.kwargs = node.kwargs | {one: value}
            return


def _filled_with(node: Node) -> int | float | None:
    """Return the number that every element of an array has, if the op says it."""
    if node.op in _ops("full.default new_full.default full_like.default"):
        value = node.kwargs["fill_value"]
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if node.op in _ops("zeros.default zeros_like.default new_zeros.default"):
        return 0
    if node.op == "constant" and node.args[0].ndim == 0:
        value = node.args[0].item()
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return None


def _drop_true_mask(node: Node, facts: Facts) -> None:
    """Replace `mask & other`, for a mask that is true everywhere, by the other one in the larger shape."""
    if node.op not in _ops("__and__.Tensor bitwise_and.Tensor logical_and.default"):
        return
    pair = (node.kwargs["x"], node.kwargs["other"])
    for one, two in (pair, pair[::-1]):
        if facts.all_true(one) and isinstance(two, Node) and two.meta.dtype_name == node.meta.dtype_name == "bool":
            node.op, node.kwargs = "aten.expand.default", {"x": two, "size": _sizes(node.meta)}
            return


def _simplify_attention(node: Node, facts: Facts) -> None:
    """Leave to attention what MLX's does by itself: broadcast its mask, and repeat the heads of keys and values."""
    if node.op != "aten.scaled_dot_product_attention.default":
        return
    mask = node.kwargs.get("attn_mask")
    if facts.all_true(mask):
        del node.kwargs["attn_mask"]
        mask = None
    if (
        isinstance(mask, Node)
        and mask.op == "aten.expand.default"
        and mask.kwargs["x"].meta.ndim == mask.meta.ndim == 4
    ):
        node.kwargs["attn_mask"] = mask.kwargs["x"]
    key, value = (_before_repeat(node.kwargs[name]) for name in ("key", "value"))
    if key is not None and value is not None and key.meta.shape[1] == value.meta.shape[1]:
        node.kwargs |= {"key": key, "value": value, "enable_gqa": True}


def _before_repeat(node: Node) -> Node | None:
    """Return the array whose heads (axis 1) were each repeated by a view, an expand and a view."""
    if node.op != "aten.view.default" or node.kwargs["x"].op != "aten.expand.default":
        return None
    wide = node.kwargs["x"]
    split = wide.kwargs["x"]
    if split.op != "aten.view.default" or split.kwargs["x"].meta.ndim != 4 or wide.meta.ndim != 5:
        return None
    source = split.kwargs["x"]
    batch, heads, length, width = source.meta.shape
    repeats_heads = (
        split.meta.shape == (batch, heads, 1, length, width)
        and wide.meta.shape[:2] + wide.meta.shape[3:] == source.meta.shape
        and node.meta.shape[2:] == (length, width)
    )
    return source if repeats_heads else None


def _merge_views(node: Node) -> None:
    """Write every view op as `view`, of the value before a chain of them."""
    x = node.kwargs.get("x")
    if node.op in VIEWS and isinstance(x, Node) and x.op in VIEWS:
        source = x.kwargs["x"]
        node.op, node.kwargs = "aten.view.default", {"x": source, "size": _sizes(node.meta)}
    elif node.op in VIEWS and node.op != "aten.view.default":
        node.op, node.kwargs = "aten.view.default", {"x": x, "size": _sizes(node.meta)}


def _sizes(meta: Meta) -> list:
    return [size if isinstance(size, int) else Sym(size) for size in meta.shape]


def _index_to_view(node: Node, hints: Mapping[Any, int]) -> None:
    """Replace indexing with whole ranges, one per axis and in order, by a view: m[b[:, None], s] for aranges b, s."""
    if node.op != "aten.index.Tensor":
        return
    x, indices = node.kwargs["x"], node.kwargs["indices"]
    if len(indices) != len(x.meta.shape) or any(item is None for item in indices):
        return
    places: list[int] = []
    for size, item in zip(x.meta.shape, indices, strict=True):
        if not _is_whole_range(item, size, hints):
            return
        first = len(node.meta.shape) - len(item.meta.shape)
        wide = [axis for axis, length in enumerate(item.meta.shape, first) if length != 1]
        if len(wide) != 1 or (places and wide[0] <= places[-1]):
            return
        places.append(wide[0])
    shape = [1] * len(node.meta.shape)
    for axis, size in zip(places, x.meta.shape, strict=True):
        shape[axis] = size
    node.op, node.kwargs = "aten.view.default", {"x": x, "size": _sizes(Meta(tuple(shape), node.meta.dtype_name))}


def _is_whole_range(node: Node, size: Any, hints: Mapping[Any, int]) -> bool:
    """Return whether a node is arange(size), perhaps with axes of length 1 inserted.

    Two dynamic sizes that are equal in the example count as one: where they differ the shapes do not fit, and MLX
    raises.
    """
    while node.op in VIEWS and isinstance(node.kwargs["x"], Node):
        node = node.kwargs["x"]
    if not node.op.startswith("aten.arange") or node.kwargs.get("start", 0) != 0 or node.kwargs.get("step", 1) != 1:
        return False
    (length,) = node.meta.shape
    return length == size or (not isinstance(size, int) and hints.get(length, 0) == hints.get(size, 1))
