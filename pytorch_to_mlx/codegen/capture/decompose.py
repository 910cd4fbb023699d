"""Bring an exported program to ops that have a lowering and write into nothing."""

from functools import cache
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from ..lowering.ops import table
from .fx_graph import is_assertion

# Composite ops whose result is new memory. An op that is not composite says in its schema where it returns an input.
FRESH = {
    f"aten.{name}"
    for name in (
        "linear.default matmul.default conv1d.default conv2d.default conv3d.default conv1d.padding conv2d.padding "
        "conv_transpose1d.default conv_transpose2d.input batch_norm.default layer_norm.default group_norm.default"
    ).split()
}


def decompose(program: ExportedProgram) -> ExportedProgram:
    """Return the program without composite ops that have no lowering, and without ops that write into a tensor.

    PyTorch does that by tracing all of it again, in most of the time of a capture. A program where it is enough to
    write `x + y` for `x += y` is changed in place instead.
    """
    done = [_is_lowered(node) or _make_plain(node) for node in program.graph.nodes]
    program.graph_module.recompile()
    return program if all(done) else program.run_decompositions(decompositions())


def _is_lowered(node: Node) -> bool:
    if node.op in ("placeholder", "output"):
        return True
    if node.op != "call_function" or isinstance(node.target, HigherOrderOperator):
        return False
    if not isinstance(node.target, OpOverload) or is_assertion(node.target):  # arithmetic on sizes, and checks of them
        return True
    if "dropout" in str(node.target) and node.args[2:] != (False,):  # in training: a draw, which decomposing shows
        return False
    return _has_lowering(node.target) and not node.target._schema.is_mutable


def _has_lowering(op: OpOverload) -> bool:
    lowering = table().get(str(op))
    return lowering is not None and not lowering.why_not


def _make_plain(node: Node) -> bool:
    """Replace an op that writes into a tensor which nothing else sees by the op that returns the same values.

    Returns whether it could.
    """
    op, x = node.target, node.args[0] if node.args else None
    if not isinstance(op, OpOverload) or not isinstance(x, Node) or torch.Tag.nondeterministic_seeded in op.tags:
        return False
    packet = getattr(torch.ops.aten, op._schema.name.removeprefix("aten::").removesuffix("_"), None)
    plain = getattr(packet, op._overloadname, None)
    tensors = [item for item in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(item, Node)]
    dtypes = {getattr(item.meta.get("val"), "dtype", None) for item in tensors} - {None}
    later = {item for item in x.users if item > node}
    readers = x.users.keys() - later - {node}
    if plain is None or not _has_lowering(plain) or len(dtypes) != 1 or not all(map(_is_fresh, (x, *readers))):
        return False
    node.target = plain
    x.replace_all_uses_with(node, delete_user_cb=later.__contains__, propagate_meta=False)
    return True


def _is_fresh(node: Node) -> bool:
    """Tell whether the result of a node shares no memory with anything else."""
    op = node.target
    if not isinstance(op, OpOverload) or str(op) in FRESH:
        return isinstance(op, OpOverload)
    is_composite = torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd")
    return not is_composite and all(value.alias_info is None for value in op._schema.returns)


def decompositions() -> Any:
    """Return torch's default decompositions without those of the ops that have a lowering."""
    return _without(frozenset(op for op, lowering in table().items() if not lowering.why_not))


@cache
def _without(lowered: frozenset[str]) -> Any:
    by_op = torch.export.default_decompositions()
    for op in list(by_op.keys()):
        if str(op) in lowered:
            del by_op[op]
    return by_op
