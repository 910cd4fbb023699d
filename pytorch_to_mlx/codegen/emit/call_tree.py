"""The tree of module calls of a flat graph, each call with its inputs and outputs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..graph import Graph, Node, Sym, leaves

CONTAINERS = "torch.nn.modules.container."
SMALL = 3  # ops: a module without weights that has no more is written into its caller


@dataclass(eq=False, slots=True)
class Call:
    """One call of a module: its ops and the calls of its children, in order.

    path: of the module. number: which call of it. inputs: values from outside that are used inside. outputs: values
    from inside that are used outside.
    """

    path: str
    number: int
    class_name: str
    items: list["Node | Call"] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """Yield every op inside, those of children too."""
        for item in self.items:
            if isinstance(item, Call):
                yield from item.nodes()
            else:
                yield item

    def calls(self) -> Iterator["Call"]:
        """Yield this call and all calls inside, outermost first."""
        yield self
        for item in self.items:
            if isinstance(item, Call):
                yield from item.calls()

    def owns(self, weight: str) -> bool:
        """Return whether a weight lies in this module or below it."""
        return not self.path or weight.startswith(f"{self.path}.")

    def __str__(self) -> str:
        head = f"{self.path or '(root)'}#{self.number} {self.class_name}"
        names = [", ".join(node.name for node in part) for part in (self.inputs, self.outputs)]
        lines = [f"{head}({names[0]}) -> {names[1]}"]
        for item in self.items:
            lines += ["  " + line for line in str(item).splitlines()]
        return "\n".join(lines)


def call_tree(graph: Graph, root_class: str) -> Call:
    """Return the call of the root with all calls inside.

    Where torch recorded ops of a module after ops of its caller, only the first run of them belongs to the call.
    """
    root = Call("", 0, root_class)
    open_calls = [root]
    closed: set[tuple[str, int]] = set()
    for node in graph.nodes:
        if node.op in ("input", "weight", "constant", "noise", "output"):
            continue
        frames = [frame for frame in node.stack if (frame.path, frame.call) not in closed]
        depth = 1  # open calls that this node lies in
        while depth < len(open_calls) and depth <= len(frames):
            call, frame = open_calls[depth], frames[depth - 1]
            if (call.path, call.number) != (frame.path, frame.call):
                break
            depth += 1
        closed |= {(call.path, call.number) for call in open_calls[depth:]}
        del open_calls[depth:]
        for frame in frames[depth - 1 :]:
            if (frame.path, frame.call) in closed:
                break
            call = Call(frame.path, frame.call, frame.class_name)
            open_calls[-1].items.append(call)
            open_calls.append(call)
        open_calls[-1].items.append(node)
    return root


def hoist_views(call: Call) -> None:
    """Move ops that torch recorded inside a layer, but that only prepare its input, out to the caller.

    Functionalisation repeats a view where it is used, so a linear layer seems to begin with its caller's reshape.
    """
    for item in [item for item in call.items if isinstance(item, Call)]:
        hoist_views(item)
        if not item.class_name.startswith("torch.nn.modules.") or any(isinstance(part, Call) for part in item.items):
            continue
        first = next((i for i, node in enumerate(item.items) if _reads_weight(node)), None)
        if first:
            place = call.items.index(item)
            call.items[place:place] = item.items[:first]
            del item.items[:first]


def _reads_weight(node: "Node | Call") -> bool:
    return isinstance(node, Node) and any(used.op == "weight" for used in node.inputs())


def inline_calls(call: Call, calls: "set[Call]") -> None:
    """Move the items of some calls into their callers."""
    flat: list[Node | Call] = []
    for item in call.items:
        if isinstance(item, Call):
            inline_calls(item, calls)
            if item in calls:
                flat += item.items
                continue
        flat.append(item)
    call.items = flat


def trivial_calls(root: Call) -> "set[Call]":
    """Return the calls that need no class of their own: containers, and small modules without weights."""
    trivial = set()
    for call in root.calls():
        if call is root:
            continue
        nodes = list(call.nodes())
        weights = any(used.op == "weight" and call.owns(used.args[0]) for node in nodes for used in node.inputs())
        container = call.class_name.startswith(CONTAINERS)
        if container or (not weights and len(nodes) <= SMALL) or not nodes:
            trivial.add(call)
    return trivial


def foreign_calls(call: Call, in_foreign: bool = False) -> "set[Call]":
    """Return the calls of modules that do not lie below their caller: it got them as arguments and cannot name them.

    in_foreign: whether the call is one of these itself, so that all calls inside are.
    """
    foreign = set()
    for item in call.items:
        if isinstance(item, Call):
            is_foreign = in_foreign or not item.path.startswith(f"{call.path}." if call.path else "")
            foreign |= ({item} if is_foreign else set()) | foreign_calls(item, is_foreign)
    return foreign


def connect(root: Call, graph: Graph) -> None:
    """Set inputs and outputs of every call. A number read from an array is also used by ops that have it in a size."""
    users = {node: set(items) for node, items in graph.users().items()}
    size_users = _size_users(graph)
    for node in graph.nodes:
        if isinstance(node.meta, Sym):
            users[node] |= size_users.get(node.meta.expr, set())
    for call in root.calls():
        ordered = list(call.nodes())
        inside = set(ordered)
        used = dict.fromkeys(value for node in ordered for value in node.inputs())  # in the order of first use
        call.inputs = [
            n
            for n in used
            if n not in inside and n.op != "constant" and not (n.op == "weight" and call.owns(n.args[0]))
        ]
        call.outputs = [node for node in ordered if users[node] - inside]
    root.inputs = [*graph.inputs(), *graph.noises()]


def _size_users(graph: Graph) -> dict[Any, set[Node]]:
    """Return the nodes that have a size with a symbol among their arguments, by symbol."""
    users: dict[Any, set[Node]] = {}
    for node in graph.nodes:
        for size in leaves((node.args, node.kwargs), Sym):
            for symbol in size.expr.free_symbols:
                users.setdefault(symbol, set()).add(node)
    return users
