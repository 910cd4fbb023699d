"""What every node of one module call is in its method: a parameter, a variable, an expression or an attribute."""

import ast
import re
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from ..graph import Meta, Node, Sym
from ..lowering.ops.conv import channels_first
from ..lowering.recorder import Recorded, to_tree
from ..lowering.sizes import PREFIX, Hints, with_sizes
from ..paths import access, is_path
from .call_tree import Call
from .draft import Draft
from .layers import Layer
from .size_reads import axis_length
from .source_names import SourceNames, short_name

LONGEST = 72  # characters: a longer expression gets a line of its own


class Scope:
    """The values of a call while its draft is written.

    values: nodes that are written, as recorded values, or lists of them. init_values: values that depend on no input,
    which __init__ computes. sizes_defined: sizes that a statement sets. sizes_consumed: sizes that ops and children are
    given, which therefore no result defines. list_results: results of items of module lists, which get names: repeated
    calls become a loop only between plain names.
    """

    def __init__(
        self, call: Call, layers: Mapping[str, Layer], names: SourceNames, size_hints: Mapping[Any, int]
    ) -> None:
        self.call = call
        self.layers = layers
        self.names = names
        self.size_hints = size_hints
        self.draft = Draft(call)
        self.values: dict[Node, Any] = {}
        self.init_values: dict[Node, Any] = {}
        self.sizes_defined: set[str] = set()
        self.sizes_consumed: set[str] = set()
        self.list_results: set[Node] = set()
        self._attributes: dict[Node, Recorded] = {}
        self._n_uses: dict[Node, int] = {}
        self._last_user: dict[Node, Node | Call] = {}
        self.loops: dict[Node, Any] = {}  # by the node that begins it, and the one that ends it
        in_loop: set[Node] | None = None  # what the rounds of a loop compute
        for item in call.items:
            op = item.op if isinstance(item, Node) else ""
            for value in item.inputs if isinstance(item, Call) else item.inputs():
                read_often = (in_loop is not None and value not in in_loop) or op == "loop.last"
                self._n_uses[value] = self._n_uses.get(value, 0) + (2 if read_often else 1)
                self._last_user[value] = item
            if op in ("loop.begin", "loop.end"):
                in_loop = set() if op == "loop.begin" else None
            if in_loop is not None:
                in_loop |= set(item.outputs) if isinstance(item, Call) else {item}
        for value in call.outputs:
            self._n_uses[value] = self._n_uses.get(value, 0) + 1

    def add_parameters(self) -> None:
        """Make the inputs of the call the parameters of the method."""
        for node in self.call.inputs:
            name = self.draft.fresh_name(self.names.argument_name(self.call, node))
            self.draft.args.append(name)
            self.values[node] = placeholder(node.meta, ast.Name(name), self.size_hints)

    def is_used_once(self, node: Node) -> bool:
        return self._n_uses[node] == 1

    # --- reading --------------------------------------------------------------------------------------------------

    def value(self, node: Node) -> Any:
        """Return the recorded value of a node, or a list of them."""
        if node in self.values:
            return self.values[node]
        if node.op == "weight":
            return self._weight(node)
        if node.op == "constant" and node not in self.init_values:
            self.init_values[node] = array_literal(node.args[0])
        if node in self.init_values:
            return self.attribute(node)
        raise AssertionError(f"{node.name} is used before it is written")

    def tree(self, node: Node) -> ast.expr:
        """Return the expression of a node."""
        value = self.value(node)
        return ast.Tuple([part.tree for part in value]) if isinstance(value, list) else value.tree

    def attribute(self, node: Node) -> Any:
        """Return the attribute that __init__ sets to a value that depends on no input."""
        if node not in self._attributes:
            value = self.init_values[node]
            if not isinstance(value, Recorded):
                return value
            name = f"_{self.suggestion(node)}"
            while name in self.draft.constants:
                name += "_"
            self.draft.constants[name] = value.tree
            tree = ast.Attribute(ast.Name("self"), name)
            self._attributes[node] = placeholder(node.meta, tree, self.size_hints)
        return self._attributes[node]

    def _weight(self, node: Node) -> Recorded:
        name = node.args[0]
        owner, _, last = name.rpartition(".")
        value = placeholder(node.meta, access(self.call.path, name), self.size_hints)
        layer = self.layers.get(owner)
        if layer is None:
            return value
        self.draft.shared_layers.add(owner)
        order = layer.layouts.get(last)
        if not order:
            return value
        back = [order.index(axis) for axis in range(len(order))]  # the layer keeps the array in MLX's order
        call = ast.Call(ast.Attribute(value.tree, "transpose"), [ast.Constant(axis) for axis in back], [])
        return Recorded(call, value.value, value.announced_shape)

    # --- writing --------------------------------------------------------------------------------------------------

    def store(self, node: Node, value: Any) -> None:
        """Keep an expression to be written where it is used, or bind it to a variable now."""
        if isinstance(node.meta, Sym):
            self.draft.assign(self.size_variable(node), value.tree)
            return
        if isinstance(value, list | tuple):
            self.values[node] = list(value)
            return
        if isinstance(value, Recorded) and isinstance(value.value, list | tuple):
            self.values[node] = self._unpack(node, value)
            return
        if isinstance(value, mx.array):
            value = array_literal(value)
        new_sizes = self._new_sizes(node)
        if new_sizes or self._deserves_name(node, value):
            value = self._bind(node, value)
        self.values[node] = value
        for name, axis in new_sizes:
            self._define_size(name, value.tree, axis)

    def size_variable(self, node: Node) -> ast.Name:
        """Return the variable of a number that is read from data, for the statement that sets it."""
        name = f"{PREFIX}{node.meta.expr.name}"
        self.sizes_defined.add(name)
        self.values[node] = Recorded(ast.Name(name), None)
        return ast.Name(name)

    def define_sizes(self, node: Node) -> None:
        """Read the sizes that depend on data and that this value shows first."""
        for name, axis in self._new_sizes(node):
            self._define_size(name, self.tree(node), axis)

    def result_variable(self, node: Node, default: str | None = None) -> ast.Name:
        """Return the variable of a result, for the statement that sets it.

        default: its name where the source has none.
        """
        suggestion = self.names.target_name(node, self.call) or default or short_name(node)
        variable = ast.Name(self.draft.fresh_name(suggestion))
        self.values[node] = placeholder(node.meta, variable, self.size_hints)
        return variable

    def name_argument(self, node: Node) -> None:
        """Bind the value of a node to a variable, unless it is one or a path already."""
        value = self.value(node)
        if isinstance(value, Recorded) and not isinstance(value.tree, ast.Name) and not is_path(value.tree):
            value.channels_last_form = None
            self.values[node] = self._bind(node, value)

    def suggestion(self, node: Node) -> str:
        """Return a name for a value: that in the source, else one after its op."""
        return self.names.target_name(node, self.call) or short_name(node)

    def _new_sizes(self, node: Node) -> list[tuple[str, int]]:
        """Return the sizes, with their axes, that depend on data and that this value shows first."""
        if not isinstance(node.meta, Meta):
            return []
        new_sizes = []
        for axis, size in enumerate(node.meta.shape):
            if not isinstance(size, int) and size.is_Symbol and size not in self.size_hints:
                name = f"{PREFIX}{size.name}"
                if name not in self.sizes_defined | self.sizes_consumed and not self._is_input_size(size):
                    new_sizes.append((name, axis))
        return new_sizes

    def _is_input_size(self, size: Any) -> bool:
        inputs = (node for node in self.call.inputs if isinstance(node.meta, Meta) and node.op != "noise")
        return any(size in node.meta.shape for node in inputs)

    def _define_size(self, name: str, array: ast.expr, axis: int) -> None:
        self.draft.assign(ast.Name(name), axis_length(array, axis))
        self.sizes_defined.add(name)

    def _deserves_name(self, node: Node, value: Any) -> bool:
        """Return whether a value is assigned to a variable: it is used twice, long, or has a name in the source."""
        if not isinstance(value, Recorded):
            return False
        tree = value.channels_last_form.tree if value.channels_last_form is not None else value.tree
        if isinstance(tree, ast.Name | ast.Constant) or is_path(tree):
            return False
        if self._n_uses.get(node, 0) != 1 or node in self.list_results:
            return True
        if len(ast.unparse(ast.fix_missing_locations(tree))) > LONGEST:
            return True
        user = self._last_user.get(node)
        if user is None or (isinstance(user, Node) and user.op == "loop.begin"):  # it is returned, or named there
            return False
        return self.names.ends_statement(node, user, self.call)

    def _bind(self, node: Node, value: Recorded) -> Recorded:
        variable = ast.Name(self.draft.fresh_name(self.suggestion(node), output_name(value.tree)))
        shape = _shape(node.meta, self.size_hints)
        if value.channels_last_form is not None:
            self.draft.assign(variable, value.channels_last_form.tree)
            bound = channels_first(
                Recorded(variable, value.channels_last_form.value, value.channels_last_form.announced_shape)
            )
            bound.announced_shape = shape
            return bound
        self.draft.assign(variable, value.tree)
        return Recorded(variable, value.value, shape)

    def _unpack(self, node: Node, value: Recorded) -> list[Recorded]:
        """Bind the parts of a result to variables in one statement; `_` where nothing uses a part."""
        getters = {
            item.args[1]: item
            for item in self.call.items
            if isinstance(item, Node) and item.op == "getitem" and item.args[0] is node
        }
        parts: list[Recorded] = []
        targets: list[ast.expr] = []
        for place, part in enumerate(value.value):
            getter = getters.get(place)
            name = "_"
            if getter is not None or node in self.call.outputs:
                suggestion = (getter and self.names.target_name(getter, self.call)) or f"{short_name(node)}_{place}"
                name = self.draft.fresh_name(suggestion)
            variable = ast.Name(name)
            targets.append(variable)
            meta = node.meta[place] if isinstance(node.meta, list | tuple) else None
            parts.append(Recorded(variable, part, _shape(meta, self.size_hints)))
        self.draft.assign(ast.Tuple(targets), value.tree)
        return parts


def output_name(tree: ast.expr) -> str | None:
    """Return a name for what an expression gives that calls a submodule: after the submodule."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Call) and is_path(part.func) and ast.unparse(part.func).startswith("self."):
            names = [name for name in re.split(r"\W+", ast.unparse(part.func)) if not name.isdigit() and name]
            return f"{names[-1]}_output"
    return None


def placeholder(meta: Any, tree: ast.expr, size_hints: Mapping[Any, int]) -> Any:
    """Return a recorded value, or a list of them, of which only dtype and shape are known."""
    if isinstance(meta, list | tuple):
        return [
            placeholder(part, ast.Subscript(tree, ast.Constant(place)), size_hints) for place, part in enumerate(meta)
        ]
    if not isinstance(meta, Meta):
        return Recorded(tree, None)
    sized = with_sizes(meta, size_hints)
    return Recorded(tree, stand_in(sized), sized.shape)


def with_example(value: Any, node: Node, size_hints: Mapping[Any, int]) -> Any:
    """Return a recorded value with the array of the example's run as its stand-in, where that decides about sizes."""
    array = size_hints.arrays.get(node.name) if isinstance(size_hints, Hints) else None
    if array is None or not isinstance(value, Recorded):
        return value
    return Recorded(value.tree, array, value.announced_shape)


def stand_in(meta: Meta) -> mx.array:
    """Return an array of this dtype and shape that takes no memory. meta: as `with_sizes` returns it."""
    shape = [size if isinstance(size, int) else size.value for size in meta.shape]
    return mx.broadcast_to(mx.zeros([], dtype=meta.dtype), shape)


def result_of(tree: ast.Call, meta: Meta, size_hints: Mapping[Any, int], *, channels_last: bool = False) -> Recorded:
    """Return the value of a call. channels_last: the function returns it in that order."""
    sized = with_sizes(meta, size_hints)
    if channels_last:
        sized = channels_last_meta(sized)
    return Recorded(tree, stand_in(sized), sized.shape)


def channels_last_meta(meta: Meta) -> Meta:
    """Return dtype and shape of an array whose channels are moved from axis 1 to the end."""
    return Meta((meta.shape[0], *meta.shape[2:], meta.shape[1]), meta.dtype_name)


def array_literal(array: mx.array) -> Recorded:
    """Return `mx.array(...)` with the numbers of an array."""
    tree = ast.Call(
        ast.Attribute(ast.Name("mx"), "array"),
        [to_tree(array.tolist())],
        [] if array.dtype in (mx.float32, mx.int32, mx.bool_) else [ast.keyword("dtype", to_tree(array.dtype))],
    )
    return Recorded(tree, array, tuple(array.shape))


def _shape(meta: Any, size_hints: Mapping[Any, int]) -> tuple | None:
    return with_sizes(meta, size_hints).shape if isinstance(meta, Meta) else None
