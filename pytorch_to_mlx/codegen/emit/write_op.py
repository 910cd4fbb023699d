"""Write one op: lower it to an MLX expression, in the method, in __init__, or with channels last."""

import ast
from collections.abc import Callable
from typing import Any

from ..graph import Meta, Node, Sym, leaves, transform
from ..lowering.ops import lower
from ..lowering.ops.conv import channels_first, channels_last
from ..lowering.ops.random import is_random
from ..lowering.recorder import Recorded, Recording, recording
from ..lowering.sizes import PREFIX, as_size, with_sizes
from ..paths import access
from .draft import Draft
from .scope import Scope, array_literal, channels_last_meta, result_of, stand_in, with_example
from .write_loop import write_loop

SCALAR_USERS = (
    "add sub mul div rsub pow eq ne lt le gt ge where masked_fill clamp maximum minimum full fill full_like new_full "
    "remainder fmod clamp_min clamp_max"
).split()
ELEMENTWISE = {
    f"aten.{name}"
    for name in (
        "add.Tensor sub.Tensor mul.Tensor div.Tensor maximum.default minimum.default relu.default relu6.default "
        "gelu.default silu.default sigmoid.default tanh.default hardswish.default hardsigmoid.default hardtanh.default "
        "leaky_relu.default elu.default mish.default softplus.default exp.default neg.default abs.default sqrt.default "
        "rsqrt.default clamp.default clamp_min.default clamp_max.default pow.Tensor_Scalar _to_copy.default add.Scalar "
        "mul.Scalar"
    ).split()
}


def write_op(scope: Scope, node: Node) -> None:
    """Lower an op that the call runs itself, and store its value.

    Raises: Unsupported for an op or an argument that has no MLX form.
    """
    if node.op.startswith("loop."):
        write_loop(scope, node)
    elif node.op == "getitem":
        _write_part(scope, node)
    elif (projection := _tied_projection(scope, node)) is not None:
        tree = ast.Call(projection, [scope.tree(node.kwargs["x"])], [])
        scope.store(node, result_of(tree, node.meta, scope.size_hints))
    elif _is_constant(scope, node):
        scope.init_values[node] = _lower_in_init(scope, node)
    elif node.op in ELEMENTWISE and _has_channels_last(scope, node):
        scope.store(node, _lower_channels_last(scope, node))
    else:
        scope.store(node, _lower(scope, node))


def _write_part(scope: Scope, node: Node) -> None:
    whole, place = node.args
    if whole in scope.init_values:
        scope.init_values[node] = scope.init_values[whole][place]
        return
    part = scope.value(whole)[place]
    if isinstance(part, Recorded) and isinstance(node.meta, Meta):
        part.announced_shape = with_sizes(node.meta, scope.size_hints).shape
    scope.store(node, part)


def _tied_projection(scope: Scope, node: Node) -> ast.expr | None:
    """Return `self.embed_tokens.as_linear` for a projection whose weight is that of an embedding."""
    weight = node.kwargs.get("weight")
    if node.op != "aten.linear.default" or node.kwargs.get("bias") is not None:
        return None
    if not isinstance(weight, Node) or weight.op != "weight" or weight in scope.values:
        return None
    owner = weight.args[0].rpartition(".")[0]
    layer = scope.layers.get(owner)
    if layer is None or layer.class_name != "Embedding":
        return None
    return ast.Attribute(access(scope.call.path, owner), "as_linear")


def _is_constant(scope: Scope, node: Node) -> bool:
    """Return whether a value depends on no input and on no dynamic size, and is the same in every call."""
    if is_random(node.op):
        return False
    if next(leaves((node.kwargs, node.args), Sym), None) is not None or not isinstance(node.meta, Meta | list):
        return False
    if isinstance(node.meta, Meta) and any(not isinstance(size, int) for size in node.meta.shape):
        return False
    return all(value in scope.init_values or value.op == "constant" for value in node.inputs())


def _has_channels_last(scope: Scope, node: Node) -> bool:
    """Return whether every array that goes in exists with channels last, so that the op can stay in that order."""
    inputs = list(node.inputs())
    values = [scope.values.get(value) for value in inputs]  # constants and weights exist in torch's order only
    return bool(values) and all(
        isinstance(v, Recorded)
        and v.channels_last_form is not None
        and isinstance(i.meta, Meta)
        and i.meta.ndim == node.meta.ndim
        for v, i in zip(values, inputs, strict=True)
    )


def _lower(scope: Scope, node: Node) -> Any:
    def argument(item: Node) -> Any:
        return _constant_argument(scope, item, node) if item.op == "constant" else scope.value(item)

    meta = with_sizes(node.meta, scope.size_hints)
    result, recorder = _record(scope, node, argument, meta)
    scope.draft.statements += recorder.statements
    _announce(scope, node, result, meta)
    return result


def _lower_in_init(scope: Scope, node: Node) -> Any:
    """Lower an op of constants. __init__ has no place for steps: they are written where they are used."""

    def argument(item: Node) -> Any:
        if item not in scope.init_values:
            return _constant_argument(scope, item, node)
        if item.op == "constant" or scope.is_used_once(item):
            return scope.init_values[item]
        return scope.attribute(item)

    meta = with_sizes(node.meta, scope.size_hints)
    result, recorder = _record(scope, node, argument, meta)
    inlined = {
        statement.targets[0].id: statement.value
        for statement in recorder.statements
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    if inlined:
        result = _substitute(result, inlined)
    _announce(scope, node, result, meta)
    return result


def _lower_channels_last(scope: Scope, node: Node) -> Recorded:
    def argument(item: Node) -> Any:
        return _constant_argument(scope, item, node) if item.op == "constant" else channels_last(scope.value(item))

    meta = with_sizes(node.meta, scope.size_hints)
    result, recorder = _record(scope, node, argument, channels_last_meta(meta))
    scope.draft.statements += recorder.statements
    value = channels_first(result)
    value.announced_shape = meta.shape
    return value


class _DraftRecording(Recording):
    """A recording whose local variables are provisional names of a draft."""

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft

    def name(self, hint: str) -> str:
        return self._draft.fresh_name(hint)


def _record(scope: Scope, node: Node, argument: Callable[[Node], Any], meta: Any) -> tuple[Any, Recording]:
    """Run the lowering of an op on recorded arguments. Returns its result and what it wrote."""

    def argument_or_size(item: Node | Sym) -> Any:
        if isinstance(item, Node):
            return with_example(argument(item), item, scope.size_hints)
        scope.sizes_consumed |= {f"{PREFIX}{symbol}" for symbol in item.expr.free_symbols}
        return as_size(item, scope.size_hints)

    arguments = transform(node.kwargs, (Node, Sym), argument_or_size)
    with recording(_DraftRecording(scope.draft)) as recorder:
        result = lower(node.op, arguments, meta)
    scope.draft.helpers |= recorder.helpers
    return result, recorder


def _announce(scope: Scope, node: Node, result: Any, meta: Any) -> None:
    """Give a result the shape that torch announces. meta: dtype and shape with Size values."""
    if not isinstance(result, Recorded) or not isinstance(node.meta, Meta):
        return
    result.announced_shape = meta.shape
    if not all(isinstance(size, int) or size.free_symbols <= scope.size_hints.keys() for size in node.meta.shape):
        result.value = stand_in(meta)  # its length depends on data, and the stand-ins of the arguments are zeros


def _constant_argument(scope: Scope, node: Node, user: Node) -> Any:
    """Return a constant as an op takes it: a plain number where torch took an array without axes for one."""
    array = node.args[0]
    if array.ndim == 0 and user.op.split(".")[1] in SCALAR_USERS and _takes_number(node, user):
        return array.item()
    if node not in scope.init_values:
        scope.init_values[node] = array_literal(array)
    return scope.attribute(node)


def _takes_number(node: Node, user: Node) -> bool:
    """Return whether another argument gives the result its dtype and shape."""
    return any(other is not node and isinstance(other.meta, Meta) for other in user.inputs()) or "full" in user.op


def _substitute(result: Any, inlined: dict[str, ast.expr]) -> Any:
    """Write the steps that a lowering bound to variables in place of these variables."""

    class Inline(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return self.visit(inlined[node.id]) if node.id in inlined else node

    if isinstance(result, Recorded):
        result.tree = Inline().visit(result.tree)
        return result
    return [_substitute(part, inlined) for part in result]
