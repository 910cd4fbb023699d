"""From a flat graph back to the tree of module calls, each with what goes in and what comes out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..graph import Graph, Meta, Node, Sym, leaves

CONTAINERS = "torch.nn.modules.container."
SMALL = 3  # a module without weights and with no more ops than this is written into its caller


@dataclass(eq=False, slots=True)
class Call:
    """One call of a module: its ops and the calls of its children, in order.

    inputs: values made outside that are used inside. outputs: values made inside that are used outside.
    """

    path: str
    number: int
    class_name: str
    items: list["Node | Call"] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """Every op inside, of children too."""
        for item in self.items:
            if isinstance(item, Call):
                yield from item.nodes()
            else:
                yield item

    def calls(self) -> Iterator["Call"]:
        """This call and all calls inside, outermost first."""
        yield self
        for item in self.items:
            if isinstance(item, Call):
                yield from item.calls()

    def owns(self, weight: str) -> bool:
        """Whether a weight lies in this module or below it."""
        return not self.path or weight.startswith(f"{self.path}.")

    def __str__(self) -> str:
        head = f"{self.path or '(root)'}#{self.number} {self.class_name}"
        names = [", ".join(node.name for node in part) for part in (self.inputs, self.outputs)]
        lines = [f"{head}({names[0]}) -> {names[1]}"]
        for item in self.items:
            lines += ["  " + line for line in str(item).splitlines()]
        return "\n".join(lines)


def call_tree(graph: Graph, root_class: str) -> Call:
    """The tree of module calls of a graph. A module that is left and entered again keeps only its first visit."""
    root = Call("", 0, root_class)
    open_calls = [root]
    closed: set[tuple[str, int]] = set()
    for node in graph.nodes:
        if node.op in ("input", "weight", "constant", "output"):
            continue
        wanted = [frame for frame in node.stack if (frame.path, frame.call) not in closed]
        keep = 1
        while keep < len(open_calls) and keep <= len(wanted):
            call, frame = open_calls[keep], wanted[keep - 1]
            if (call.path, call.number) != (frame.path, frame.call):
                break
            keep += 1
        closed |= {(call.path, call.number) for call in open_calls[keep:]}
        del open_calls[keep:]
        for frame in wanted[keep - 1 :]:
            if (frame.path, frame.call) in closed:
                break
            call = Call(frame.path, frame.call, frame.class_name)
            open_calls[-1].items.append(call)
            open_calls.append(call)
        open_calls[-1].items.append(node)
    return root


def hoist_views(call: Call) -> None:
    """Move ops that torch recorded inside a child, but that only prepare its input, out to the caller.

    Functionalisation makes a view again where it is used, so a linear layer seems to begin with its caller's reshape.
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


def dissolve(call: Call, unwanted: "set[Call]") -> None:
    """Write the ops of some calls into their callers."""
    flat: list[Node | Call] = []
    for item in call.items:
        if isinstance(item, Call):
            dissolve(item, unwanted)
            if item in unwanted:
                flat += item.items
                continue
        flat.append(item)
    call.items = flat


def trivial_calls(root: Call) -> "set[Call]":
    """Calls that deserve no class of their own: containers, and small modules without weights."""
    found = set()
    for call in root.calls():
        if call is root:
            continue
        nodes = list(call.nodes())
        weights = any(used.op == "weight" and call.owns(used.args[0]) for node in nodes for used in node.inputs())
        container = call.class_name.startswith(CONTAINERS)
        if container or (not weights and len(nodes) <= SMALL) or not nodes:
            found.add(call)
    return found


def foreign_calls(call: Call, outside: bool = False) -> "set[Call]":
    """Calls of modules that are not below the module which calls them: it was handed them, and cannot name them."""
    found = set()
    for item in call.items:
        if isinstance(item, Call):
            away = outside or not item.path.startswith(f"{call.path}." if call.path else "")
            found |= ({item} if away else set()) | foreign_calls(item, away)
    return found


def connect(root: Call, graph: Graph) -> None:
    """Fill in inputs and outputs of every call. A number read from an array goes to whoever has it in a size."""
    users = {node: set(items) for node, items in graph.users().items()}
    askers = _askers(graph)
    for node in graph.nodes:
        if isinstance(node.meta, Sym):
            users[node] |= askers.get(node.meta.expr, set())
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
    root.inputs = graph.inputs()


def _askers(graph: Graph) -> dict[Any, set[Node]]:
    """Symbol -> the nodes that are told a size with that symbol in it."""
    found: dict[Any, set[Node]] = {}
    for node in graph.nodes:
        for size in leaves((node.args, node.kwargs), Sym):
            for symbol in size.expr.free_symbols:
                found.setdefault(symbol, set()).add(node)
    return found


def remove_dead(graph: Graph, keep: set[Node] | None = None) -> Graph:
    """The graph without nodes that nothing uses. Numbers read from arrays stay: sizes use them without an edge."""
    alive = set(leaves(graph.output.args, Node)) | (keep or set())
    for node in reversed(graph.nodes):
        if (
            node in alive
            or node.op in ("input", "output")
            or (node.meta is not None and not isinstance(node.meta, Meta | list | tuple))
        ):
            alive.add(node)
            alive |= set(node.inputs())
    return Graph([node for node in graph.nodes if node in alive])
