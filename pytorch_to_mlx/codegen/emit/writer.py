"""Write one module call as the body of a method: statements as syntax trees, with names still to be chosen.

Values are named "%1", "%2", …; dynamic sizes "$s0". `naming.py` replaces both by readable names.
"""

import ast
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from ..capture.guards import CHECK, Guard
from ..graph import Meta, Node, Sym, Unsupported, transform
from ..lowering.ops import lower
from ..lowering.ops.conv import channels_first, channels_last
from ..lowering.recorder import Recorded, Recording, recording
from ..lowering.sizes import PREFIX, as_size, axis_name, with_sizes
from ..paths import access, is_path
from .ast_helpers import constant_value, order_sums, read_shape, short_name, solved_size, substitute
from .call_tree import Call
from .layers import Leaf
from .source_names import SourceNames
from .user_modules import write_replaced

LONGEST = 72  # an expression longer than this gets a line of its own
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


@dataclass
class Written:
    """A method body. args: names of the parameters; sizes: dynamic sizes passed after them.

    constants: attributes for __init__, in order. helpers: helper functions that are called. raw: layers whose weight
    is read by other code than their own. method: its name in the class.
    """

    call: Call
    args: list[str]
    sizes: list[str] = field(default_factory=list)
    statements: list[ast.stmt] = field(default_factory=list)
    results: list[ast.expr] = field(default_factory=list)
    constants: dict[str, ast.expr] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    hints: dict[str, str] = field(default_factory=dict)
    raw: set[str] = field(default_factory=set)
    method: str = "__call__"


class _Recording(Recording):
    def __init__(self, writer: "Writer") -> None:
        super().__init__()
        self._writer = writer

    def name(self, hint: str) -> str:
        return self._writer.fresh(hint)


class Writer:
    """Writes one call. `children` holds what was written for the calls inside; `guards` are checked first."""

    def __init__(
        self,
        call: Call,
        leaves: Mapping[str, Leaf],
        children: Mapping[Call, Written],
        names: SourceNames,
        hints: Mapping[Any, int],
        guards: Sequence[Guard] = (),
    ) -> None:
        self.call = call
        self.guards = guards
        self.leaves = leaves
        self.children = children
        self.names = names
        self.hints = hints
        self.out = Written(call, [])
        self.values: dict[Node, Any] = {}
        self.fixed: dict[Node, Any] = {}  # values that depend on no input: written in __init__
        self.attributes: dict[Node, Recorded] = {}
        self.defined: set[str] = set()
        self.told: set[str] = set()  # sizes that ops here are given: what an op is given, its result does not define
        self.from_lists: set[Node] = set()  # results of list items: named, so that repeated calls become a loop
        self.uses, self.user = self._count_uses()

    def _count_uses(self) -> tuple[dict[Node, int], dict[Node, "Node | Call"]]:
        uses: dict[Node, int] = {}
        user: dict[Node, Node | Call] = {}
        for item in self.call.items:
            for value in item.inputs if isinstance(item, Call) else item.inputs():
                uses[value] = uses.get(value, 0) + 1
                user[value] = item
        for value in self.call.outputs:
            uses[value] = uses.get(value, 0) + 1
        return uses, user

    def write(self) -> Written:
        for node in self.call.inputs:
            self.out.args.append(name := self.fresh(self.names.argument(self.call, node)))
            self.values[node] = self._placeholder(node, ast.Name(name))
        for item in self.call.items:
            try:
                if isinstance(item, Call):
                    self._write_call(item)
                else:
                    self._write_node(item)
            except Unsupported as error:
                node = item if isinstance(item, Node) else next(iter(item.nodes()))
                raise error.at(node) from error
        self.out.results = [self._tree(node) for node in self.call.outputs]
        if self.guards:
            self.out.statements[:0] = [guard.statement() for guard in self.guards]
            self.out.helpers.add(CHECK)
        self._bind_sizes()
        return self.out

    def fresh(self, hint: str) -> str:
        name = f"%{len(self.out.hints) + 1}"
        self.out.hints[name] = f"{hint}_" if keyword.iskeyword(hint) else hint
        return name

    # --- values -------------------------------------------------------------------------------------------------

    def _placeholder(self, node: Node, tree: ast.expr) -> Any:
        if not isinstance(node.meta, Meta):
            return Recorded(tree, None)
        meta = with_sizes(node.meta, self.hints)
        return Recorded(tree, self.stand_in(meta), meta.shape)

    @staticmethod
    def stand_in(meta: Meta) -> mx.array:
        shape = [size if isinstance(size, int) else size.value for size in meta.shape]
        return mx.broadcast_to(mx.zeros([], dtype=meta.dtype), shape)

    def _value(self, node: Node) -> Any:
        if node in self.values:
            return self.values[node]
        if node.op == "weight":
            return self._weight(node)
        if node in self.fixed:
            return self._attribute(node)
        if node.op == "constant":
            self.fixed[node] = constant_value(node.args[0])
            return self._attribute(node)
        raise AssertionError(f"{node.name} is used before it is made")

    def _tree(self, node: Node) -> ast.expr:
        value = self._value(node)
        return ast.Tuple([part.tree for part in value]) if isinstance(value, list) else value.tree

    def _weight(self, node: Node) -> Recorded:
        name = node.args[0]
        value = self._placeholder(node, access(self.call.path, name))
        leaf = self.leaves.get(name.rpartition(".")[0])
        order = leaf.layouts.get(name.rpartition(".")[2]) if leaf else None
        if leaf:
            self.out.raw.add(name.rpartition(".")[0])
        if order:  # the layer keeps the array in MLX's order
            back = [order.index(axis) for axis in range(len(order))]
            call = ast.Call(ast.Attribute(value.tree, "transpose"), [ast.Constant(axis) for axis in back], [])
            return Recorded(call, value.value, value._shape)
        return value

    def _attribute(self, node: Node) -> Any:
        """The attribute that __init__ sets for a value that depends on no input."""
        if node not in self.attributes:
            value = self.fixed[node]
            if not isinstance(value, Recorded):
                return value
            name = f"_{self.names.target(node, self.call) or short_name(node)}"
            while name in self.out.constants:
                name += "_"
            self.out.constants[name] = value.tree
            self.attributes[node] = self._placeholder(node, ast.Attribute(ast.Name("self"), name))
        return self.attributes[node]

    # --- ops ----------------------------------------------------------------------------------------------------

    def _write_node(self, node: Node) -> None:
        if node.op == "getitem":
            whole, place = node.args
            if whole in self.fixed:
                self.fixed[node] = self.fixed[whole][place]
                return
            part = self._value(whole)[place]
            if isinstance(part, Recorded) and isinstance(node.meta, Meta):
                part._shape = with_sizes(node.meta, self.hints).shape
            self._settle(node, part)
            return
        inputs = list(node.inputs())
        if (tied := self._tied(node)) is not None:
            self._settle(node, self._applied(tied, [self._tree(node.kwargs["x"])], node))
            return
        if not self._has_sizes(node) and all(value in self.fixed or value.op == "constant" for value in inputs):
            self.fixed[node] = self._lowered(node, fixed=True)
            return
        if node.op in ELEMENTWISE and self._all_last(inputs, node):
            value = channels_first(self._lowered(node, last=True))
            value._shape = with_sizes(node.meta, self.hints).shape
        else:
            value = self._lowered(node)
        self._settle(node, value)

    def _tied(self, node: Node) -> ast.expr | None:
        """`self.embed_tokens.as_linear`, for a projection whose weight is that of an embedding here."""
        weight = node.kwargs.get("weight")
        if node.op != "aten.linear.default" or node.kwargs.get("bias") is not None or weight.op != "weight":
            return None
        owner = weight.args[0].rpartition(".")[0]
        leaf = self.leaves.get(owner)
        if leaf is None or leaf.layer != "Embedding" or weight in self.values:
            return None
        return ast.Attribute(access(self.call.path, owner), "as_linear")

    def _has_sizes(self, node: Node) -> bool:
        found = []
        transform((node.kwargs, node.args), Sym, found.append)
        dynamic = isinstance(node.meta, Meta) and any(not isinstance(size, int) for size in node.meta.shape)
        return bool(found) or dynamic or not isinstance(node.meta, Meta | list)

    def _all_last(self, inputs: list[Node], node: Node) -> bool:
        """Whether every array that goes in exists with channels last, so that the op can stay in that order."""
        values = [self._value(value) for value in inputs]
        same = all(
            isinstance(v, Recorded) and isinstance(i.meta, Meta) and i.meta.ndim == node.meta.ndim
            for v, i in zip(values, inputs, strict=True)
        )
        return bool(values) and same and all(v.last is not None for v in values)

    def _lowered(self, node: Node, fixed: bool = False, last: bool = False) -> Any:
        def value(item: Any) -> Any:
            if isinstance(item, Sym):
                self.told |= {f"{PREFIX}{symbol}" for symbol in item.expr.free_symbols}
                return as_size(item, self.hints)
            if fixed:
                if item.op == "constant":
                    return self._scalar(item, node) if item not in self.fixed else self.fixed[item]
                return self.fixed[item] if self.uses[item] == 1 else self._attribute(item)
            if item.op == "constant":
                return self._scalar(item, node)
            found = self._value(item)
            return channels_last(found) if last else found

        arguments = transform(node.kwargs, (Node, Sym), value)
        record = _Recording(self)
        with recording(record):
            meta = with_sizes(node.meta, self.hints)
            if last:
                meta = Meta((meta.shape[0], *meta.shape[2:], meta.shape[1]), meta.dtype_name)
            result = lower(node.op, arguments, meta)
        if fixed and record.statements:  # __init__ has no place for steps: write them where they are used
            raise_later = {stmt.targets[0].id: stmt.value for stmt in record.statements}  # type: ignore[attr-defined]
            result = substitute(result, raise_later)
            record.statements = []
        self.out.statements += record.statements
        self.out.helpers |= record.helpers
        if isinstance(result, Recorded) and isinstance(node.meta, Meta) and not last:
            result._shape = meta.shape
            if not all(isinstance(size, int) or size.free_symbols <= self.hints.keys() for size in node.meta.shape):
                result.value = self.stand_in(meta)  # as long as announced, not as long as zeros make it
        return result

    def _scalar(self, node: Node, user: Node) -> Any:
        """A constant: a plain number where torch took a tensor without axes for one."""
        array = node.args[0]
        if array.ndim == 0 and user.op.split(".")[1] in SCALAR_USERS and self._other_arrays(node, user):
            return array.item()
        if node not in self.fixed:
            self.fixed[node] = constant_value(array)
        return self.fixed[node] if self.uses[node] == 1 and user in self.fixed else self._attribute(node)

    @staticmethod
    def _other_arrays(node: Node, user: Node) -> bool:
        return any(other is not node and isinstance(other.meta, Meta) for other in user.inputs()) or "full" in user.op

    def _settle(self, node: Node, value: Any) -> None:
        """Keep an expression to be written where it is used, or bind it to a variable now."""
        if isinstance(node.meta, Sym):
            name = f"{PREFIX}{node.meta.expr.name}"
            self.out.statements.append(ast.Assign([ast.Name(name)], value.tree))
            self.defined.add(name)
            self.values[node] = Recorded(ast.Name(name), None)
            return
        if isinstance(value, list | tuple):
            self.values[node] = list(value)
            return
        if isinstance(value, Recorded) and isinstance(value.value, list | tuple):
            self.values[node] = self._unpack(node, value)
            return
        if not isinstance(value, Recorded):
            value = constant_value(value) if isinstance(value, mx.array) else value
        fresh_sizes = self._new_sizes(node)
        if fresh_sizes or self._deserves_name(node, value):
            value = self._bind(node, value)
        self.values[node] = value
        for name, axis in fresh_sizes:
            shape = ast.Subscript(ast.Attribute(value.tree, "shape"), ast.Constant(axis))
            self.out.statements.append(ast.Assign([ast.Name(name)], shape))
            self.defined.add(name)

    def _new_sizes(self, node: Node) -> list[tuple[str, int]]:
        """Sizes that depend on data and that this value shows first."""
        if not isinstance(node.meta, Meta):
            return []
        found = []
        for axis, size in enumerate(node.meta.shape):
            if not isinstance(size, int) and size.is_Symbol and size not in self.hints:
                name = f"{PREFIX}{size.name}"
                if name not in self.defined | self.told and not self._given(size):
                    found.append((name, axis))
        return found

    def _given(self, size: Any) -> bool:
        return any(isinstance(node.meta, Meta) and size in node.meta.shape for node in self.call.inputs)

    def _bind(self, node: Node, value: Recorded) -> Recorded:
        hint = self.names.target(node, self.call) or short_name(node)
        variable = ast.Name(self.fresh(hint))
        shape = with_sizes(node.meta, self.hints).shape if isinstance(node.meta, Meta) else None
        if value.last is not None:
            self.out.statements.append(ast.Assign([variable], value.last.tree))
            bound = channels_first(Recorded(variable, value.last.value, value.last._shape))
            bound._shape = shape
            return bound
        self.out.statements.append(ast.Assign([variable], value.tree))
        return Recorded(variable, value.value, shape)

    def _deserves_name(self, node: Node, value: Any) -> bool:
        if not isinstance(value, Recorded):
            return False
        tree = value.last.tree if value.last is not None else value.tree
        if isinstance(tree, ast.Name | ast.Constant) or is_path(tree):
            return False
        if self.uses.get(node, 0) != 1 or node in self.from_lists:
            return True
        if len(ast.unparse(ast.fix_missing_locations(tree))) > LONGEST:
            return True
        user = self.user.get(node)
        if user is None:  # returned
            return False
        return self.names.ends_statement(node, user, self.call)

    def _unpack(self, node: Node, value: Recorded) -> list[Any]:
        """Bind the parts of a result to variables in one statement."""
        parts: list[Any] = []
        targets: list[ast.expr] = []
        getters = {
            item.args[1]: item
            for item in self.call.items
            if isinstance(item, Node) and item.op == "getitem" and item.args[0] is node
        }
        for place, part in enumerate(value.value):
            getter = getters.get(place)
            needed = getter is not None or node in self.call.outputs
            hint = (getter and self.names.target(getter, self.call)) or f"{short_name(node)}_{place}"
            variable = ast.Name(self.fresh(hint) if needed else "_")
            targets.append(variable)
            meta = node.meta[place] if isinstance(node.meta, list | tuple) else None
            shape = with_sizes(meta, self.hints).shape if isinstance(meta, Meta) else None
            parts.append(Recorded(variable, part, shape))
        self.out.statements.append(ast.Assign([ast.Tuple(targets)], value.tree))
        return parts

    # --- calls of children --------------------------------------------------------------------------------------

    def _write_call(self, call: Call) -> None:
        target = access(self.call.path, call.path)
        if isinstance(target, ast.Subscript):
            self.from_lists.update(call.outputs)
        leaf = self.leaves.get(call.path)
        if leaf is not None and leaf.replaced:
            write_replaced(self, call, leaf.replaced)
            return
        if leaf is not None:
            assert leaf.source is not None
            node = call.outputs[0]
            source = self._value(call.inputs[0])
            if leaf.channels_last:
                value = channels_first(self._applied(target, [channels_last(source).tree], node, last=True))
                value._shape = with_sizes(node.meta, self.hints).shape
            else:
                value = self._applied(target, [source.tree], node)
            self._settle_output(node, value)
            return
        written = self.children[call]
        function: ast.expr = target if written.method == "__call__" else ast.Attribute(target, written.method)
        if isinstance(target, ast.Subscript):  # repeated calls become a loop only if their arguments are plain names
            for node in call.inputs:
                self._name_argument(node)
        args = [self._tree(node) for node in call.inputs] + [ast.Name(name) for name in written.sizes]
        self.told.update(written.sizes)
        if len(call.outputs) == 1:
            node = call.outputs[0]
            if isinstance(node.meta, Meta):
                self._settle_output(node, self._applied(function, args, node))
                return
        targets: list[ast.expr] = []
        for node in call.outputs:
            if isinstance(node.meta, Sym):
                targets.append(ast.Name(name := f"{PREFIX}{node.meta.expr.name}"))
                self.defined.add(name)
                self.values[node] = Recorded(ast.Name(name), None)
                continue
            variable = ast.Name(self.fresh(self.names.target(node, self.call) or short_name(node)))
            targets.append(variable)
            self.values[node] = self._returned(node, variable)
        if targets:
            result = targets[0] if len(targets) == 1 else ast.Tuple(targets)
            self.out.statements.append(ast.Assign([result], ast.Call(function, args, [])))
        for node in call.outputs:
            for name, axis in self._new_sizes(node):
                shape = ast.Subscript(ast.Attribute(self._tree(node), "shape"), ast.Constant(axis))
                self.out.statements.append(ast.Assign([ast.Name(name)], shape))
                self.defined.add(name)

    def _name_argument(self, node: Node) -> None:
        value = self._value(node)
        if isinstance(value, Recorded) and not isinstance(value.tree, ast.Name) and not is_path(value.tree):
            value.last = None
            self.values[node] = self._bind(node, value)

    def _returned(self, node: Node, variable: ast.Name) -> Any:
        if isinstance(node.meta, list | tuple):
            parts = []
            for place, meta in enumerate(node.meta):
                tree = ast.Subscript(variable, ast.Constant(place))
                parts.append(self._placeholder(Node(node.name, node.op, meta=meta), tree))
            return parts
        return self._placeholder(node, variable)

    def _settle_output(self, node: Node, value: Recorded) -> None:
        self._settle(node, value)

    def _applied(self, function: ast.expr, args: list[ast.expr], node: Node, last: bool = False) -> Recorded:
        meta = with_sizes(node.meta, self.hints)
        if last:
            meta = Meta((meta.shape[0], *meta.shape[2:], meta.shape[1]), meta.dtype_name)
        return Recorded(ast.Call(function, args, []), self.stand_in(meta), meta.shape)

    # --- sizes --------------------------------------------------------------------------------------------------

    def _bind_sizes(self) -> None:
        """Read the dynamic sizes that the body uses from the arguments, or ask the caller for them."""
        used = [
            part.id
            for tree in [*self.out.statements, *self.out.results]
            for part in ast.walk(tree)
            if isinstance(part, ast.Name) and part.id.startswith(PREFIX)
        ]
        reads: dict[str, dict[int, str]] = {}
        solved: list[ast.stmt] = []
        places: dict[str, tuple[int, int]] = {}
        found = {name: self._read_size(name) for name in dict.fromkeys(used) if name not in self.defined}
        for name, read in found.items():
            if read is None:
                self.out.sizes.append(name)
                self.out.hints[name] = "size"
                continue
            argument, axis, ndim, tree = read
            places[name] = (self.out.args.index(argument), axis)
            self.out.hints[name] = axis_name(ndim, axis)
            if tree is None:
                reads.setdefault(argument, {})[axis] = name
            else:
                solved.append(ast.Assign([ast.Name(name)], tree))
        for tree in [*self.out.statements, *self.out.results]:
            order_sums(tree, places)
        reads = dict(sorted(reads.items(), key=lambda item: self.out.args.index(item[0])))
        ndims = {
            a: n.meta.ndim for n, a in zip(self.call.inputs, self.out.args, strict=True) if isinstance(n.meta, Meta)
        }
        self.out.statements[:0] = [*(read_shape(a, names, ndims[a]) for a, names in reads.items()), *solved]

    def _read_size(self, name: str) -> tuple[str, int, int, ast.expr | None] | None:
        """The argument, axis and number of axes that show a size; and its value if the axis is not the size itself."""
        arrays = [(n, a) for n, a in zip(self.call.inputs, self.out.args, strict=True) if isinstance(n.meta, Meta)]
        for node, argument in arrays:
            for axis, size in enumerate(node.meta.shape):
                if not isinstance(size, int) and f"{PREFIX}{size}" == name:
                    return argument, axis, node.meta.ndim, None
        for node, argument in arrays:
            for axis, size in enumerate(node.meta.shape):
                if (tree := solved_size(size, name, argument, axis)) is not None:
                    return argument, axis, node.meta.ndim, tree
        return None
