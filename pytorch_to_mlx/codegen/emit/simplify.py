"""Exact simplifications of a graph: ops that change nothing go away, chains of views become one view."""

from collections.abc import Mapping
from typing import Any

from ..graph import Graph, Meta, Node, Sym, transform
from .call_tree import remove_dead


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


def simplify(graph: Graph, hints: Mapping[Any, int]) -> Graph:
    """An equal graph with fewer nodes. Nodes are changed in place. hints: the dynamic sizes of the example."""
    replaced: dict[Node, Node] = {}
    facts = Facts()
    seen: dict[Any, Node] = {}
    for node in graph.nodes:
        node.args = _follow(node.args, replaced)
        node.kwargs = _follow(node.kwargs, replaced)
        same = _same_value(node, facts)
        if same is not None:
            replaced[node] = same
            continue
        if (twin := seen.setdefault(_key(node), node)) is not node:
            replaced[node] = twin
            continue
        _merge_views(node)
        _plain_numbers(node)
        _plain_indexing(node, hints)
        _known_mask(node, facts)
        _attention(node, facts)
        facts.learn(node)
    return remove_dead(graph)


def _follow(tree: Any, replaced: dict[Node, Node]) -> Any:
    def change(node: Node) -> Node:
        while node in replaced:
            node = replaced[node]
        return node

    return transform(tree, Node, change)


def _same_value(node: Node, facts: "Facts") -> Node | None:
    """The input that a node only repeats."""
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
    """What is known about values without computing them: all true, or never negative."""

    def __init__(self) -> None:
        self._true: set[Node] = set()
        self._positive: set[Node] = set()

    def all_true(self, item: Any) -> bool:
        return isinstance(item, Node) and item in self._true

    def learn(self, node: Node) -> None:
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
                self._positive.add(node)
        elif moves and isinstance(x, Node):
            for known in (self._true, self._positive):
                if x in known and node.meta.dtype_name in ("bool", x.meta.dtype_name):
                    known.add(node)
        elif node.op == "aten.ge.Scalar" and _is_number(node.kwargs["other"], 0) and x in self._positive:
            self._true.add(node)
        elif node.op in _ops("__and__.Tensor bitwise_and.Tensor logical_and.default"):
            if self.all_true(x) and self.all_true(node.kwargs["other"]):
                self._true.add(node)


def _key(node: Node) -> Any:
    """Equal keys mean equal values: the same op on the same arguments in the same module call."""
    if node.op in ("input", "weight", "constant", "output", "getitem") or not isinstance(node.meta, Meta):
        return id(node)

    def name(item: Node | Sym) -> Any:
        return item if isinstance(item, Sym) else id(item)

    return (node.op, node.stack, repr(transform((node.args, node.kwargs), (Node, Sym), name)))


NUMBER_OPERANDS = _ops("add.Tensor sub.Tensor mul.Tensor div.Tensor minimum.default maximum.default where.self")


def _plain_numbers(node: Node) -> None:
    """An array filled with one number, next to another array, is that number."""
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
    if node.op in _ops("full.default new_full.default full_like.default"):
        value = node.kwargs["fill_value"]
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if node.op in _ops("zeros.default zeros_like.default new_zeros.default"):
        return 0
    if node.op == "constant" and node.args[0].ndim == 0:
        value = node.args[0].item()
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return None


def _known_mask(node: Node, facts: Facts) -> None:
    """A mask that is true everywhere, and another one, is the other one in the larger shape."""
    if node.op not in _ops("__and__.Tensor bitwise_and.Tensor logical_and.default"):
        return
    pair = (node.kwargs["x"], node.kwargs["other"])
    for one, two in (pair, pair[::-1]):
        if facts.all_true(one) and isinstance(two, Node) and two.meta.dtype_name == node.meta.dtype_name == "bool":
            node.op, node.kwargs = "aten.expand.default", {"x": two, "size": _sizes(node.meta)}
            return


def _attention(node: Node, facts: Facts) -> None:
    """Attention broadcasts its mask and repeats key-value heads by itself."""
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
    heads = [_repeated_heads(node.kwargs[name]) for name in ("key", "value")]
    if None not in heads and heads[0].meta.shape[1] == heads[1].meta.shape[1]:
        node.kwargs |= {"key": heads[0], "value": heads[1], "enable_gqa": True}


def _repeated_heads(node: Node) -> Node | None:
    """The array whose heads (axis 1) were each repeated: view, expand, view."""
    if node.op != "aten.view.default" or node.kwargs["x"].op != "aten.expand.default":
        return None
    wide = node.kwargs["x"]
    split = wide.kwargs["x"]
    if split.op != "aten.view.default" or split.kwargs["x"].meta.ndim != 4 or wide.meta.ndim != 5:
        return None
    source = split.kwargs["x"]
    batch, heads, length, width = source.meta.shape
    right = split.meta.shape == (batch, heads, 1, length, width)
    right = right and wide.meta.shape[:2] + wide.meta.shape[3:] == source.meta.shape
    return source if right and node.meta.shape[2:] == (length, width) else None


def _merge_views(node: Node) -> None:
    """A view of a view is one view of the first value; two swaps of the same axes are none."""
    x = node.kwargs.get("x")
    if node.op in VIEWS and isinstance(x, Node) and x.op in VIEWS:
        source = x.kwargs["x"]
        node.op, node.kwargs = "aten.view.default", {"x": source, "size": _sizes(node.meta)}
    elif node.op in VIEWS and node.op != "aten.view.default":
        node.op, node.kwargs = "aten.view.default", {"x": x, "size": _sizes(node.meta)}


def _sizes(meta: Meta) -> list:
    return [size if isinstance(size, int) else Sym(size) for size in meta.shape]


def _plain_indexing(node: Node, hints: Mapping[Any, int]) -> None:
    """Indexing with whole ranges, one per axis and in order, only inserts axes: m[b[:, None], s] for aranges b, s."""
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
    own = iter(x.meta.shape)
    whole = [1] * len(node.meta.shape)
    for axis in places:
        whole[axis] = next(own)
    node.op, node.kwargs = "aten.view.default", {"x": x, "size": _sizes(Meta(tuple(whole), node.meta.dtype_name))}


def _is_whole_range(node: Node, size: Any, hints: Mapping[Any, int]) -> bool:
    """Whether a node is arange(size), perhaps with axes of length 1 inserted.

    Two dynamic sizes that were equal in the example count as one: with others the shapes do not fit and MLX says so.
    """
    while node.op in VIEWS and isinstance(node.kwargs["x"], Node):
        node = node.kwargs["x"]
    if not node.op.startswith("aten.arange") or node.kwargs.get("start", 0) != 0 or node.kwargs.get("step", 1) != 1:
        return False
    (length,) = node.meta.shape
    return length == size or (not isinstance(size, int) and hints.get(length, 0) == hints.get(size, 1))
