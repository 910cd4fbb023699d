"""Roll repeated ops of a graph into loops: a Python loop over an axis was traced round by round.

Two captures are compared, of an example and of one that is longer by one on the axis: the second has one round more of
every loop, and every number in it is the first's plus a constant. The graph that comes out is for every length.

A loop is written as nodes: `loop.begin` (its index, how many rounds, what is carried into the first), a `loop.carry`
for each carried value, the nodes of one round, `loop.end` (what is carried on, what is collected); then `loop.last` for
a value of the last round, and `loop.stack` or `loop.cat` of what was collected.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import sympy

from ..graph import Graph, Meta, Node, Sym, leaves, transform
from ..lowering.ops.random import is_random
from .picks import picks_at_use

OUTSIDE = ("input", "weight", "constant", "noise", "output")  # no part of a round
JOINS = {"aten.stack.default": "loop.stack", "aten.cat.default": "loop.cat"}
FEWEST_ROUNDS = 2  # in the shorter capture
LEAVES: Any = (Node, Sym, int)  # what of an argument may differ from round to round
Carries = dict[int, Node]  # place in the round of a value that the next one reads -> what the first reads instead


class NoLoop(Exception):
    """The two graphs do not differ by one round of each of some loops."""


@dataclass
class Loop:
    """Equal rounds in a sequence of nodes.

    lists: places in the round of what is collected. lasts: of what is read of the last round alone.
    """

    rounds: list[Sequence[Node]]
    start: int
    carries: Carries = field(default_factory=dict)
    lists: list[int] = field(default_factory=list)
    lasts: set[int] = field(default_factory=set)

    @property
    def length(self) -> int:
        return len(self.rounds[0])

    @property
    def end(self) -> int:
        """Where the sequence goes on."""
        return self.start + self.length * len(self.rounds)


@dataclass
class Rolled:
    """A graph for every length of an axis.

    nodes: what stands for a node of the short graph. indices: the symbols of the loops' indices, with their value in
    the round that the graph holds.
    """

    graph: Graph
    nodes: dict[Node, Node]
    indices: dict[Any, int]


def roll(short: Graph, long: Graph, size: int, name: str) -> Rolled:
    """Return a graph for every length of an axis that is `size` in one capture, and one more in the other.

    name: of the symbol that stands for the length.
    Raises: NoLoop if that is not how they differ.
    """
    short, originals = picks_at_use(short)
    long, _ = picks_at_use(long)
    sequences = [[node for node in graph.nodes if node.op not in OUTSIDE] for graph in (short, long)]
    loops = _find_loops(short, long, sequences[0], sequences[1])
    writer = _Writer(short, long, size, sympy.Symbol(name, integer=True, positive=True))
    graph = writer.graph(loops, sequences[0], sequences[1])
    nodes = {old: writer.new[copy] for old, copy in originals.items() if copy in writer.new}
    return Rolled(graph, nodes, writer.indices)


# --- finding ----------------------------------------------------------------------------------------------------------


def _find_loops(short: Graph, long: Graph, sequence: list[Node], longer: list[Node]) -> list[tuple[Loop, Loop]]:
    """Return the loops in order, each as in both graphs. But for their last rounds the graphs have the same nodes."""
    keys, longer_keys = [_key(node) for node in sequence], [_key(node) for node in longer]
    loops: list[tuple[Loop, Loop]] = []
    place = shift = 0  # in the sequence, and how much further in the longer one
    while keys[place:] != longer_keys[place + shift :]:
        pairs = zip(keys[place:], longer_keys[place + shift :], strict=False)
        n_equal = next((i for i, (a, b) in enumerate(pairs) if a != b), len(keys) - place)
        candidates = _candidates(keys, longer_keys, place, place + n_equal, shift)
        match = None
        for start, length, n_rounds in candidates:
            loop = _loop(sequence, short, start, length, n_rounds)
            other = _loop(longer, long, start + shift, length, n_rounds + 1)
            if loop and other and list(loop.carries) == list(other.carries) and loop.lists == other.lists:
                match = loop, other
                break
        if match is None:
            raise NoLoop("no rounds repeat there")
        loops.append(match)
        place, shift = match[0].end, shift + match[0].length
    if not loops or _key(short.output) != _key(long.output):
        raise NoLoop("the graphs differ in nothing, or in what they return")
    return loops


def _candidates(
    keys: Sequence[str], longer: Sequence[str], first: int, mismatch: int, shift: int
) -> Iterator[tuple[int, int, int]]:
    """Yield start, length and number of rounds that end less than a round before the first difference."""
    for length in range(1, len(longer) - len(keys) - shift + 1):
        for end in range(mismatch, mismatch - length, -1):
            body = keys[end - length : end]
            if end - length < first or longer[end + shift : end + shift + length] != body:
                continue
            n_rounds = 1
            while end - (n_rounds + 1) * length >= first:
                start = end - (n_rounds + 1) * length
                if keys[start : start + length] != body:
                    break
                n_rounds += 1
            yield from ((end - n * length, length, n) for n in range(n_rounds, FEWEST_ROUNDS - 1, -1))


def _loop(sequence: Sequence[Node], graph: Graph, start: int, length: int, n_rounds: int) -> Loop | None:
    """Return the loop that these nodes are; None if a round reads, or is read, as no round of a loop can be."""
    loop = Loop([sequence[start + r * length :][:length] for r in range(n_rounds)], start)
    places = {node: (r, j) for r, nodes in enumerate(loop.rounds) for j, node in enumerate(nodes)}
    for nodes in zip(*loop.rounds, strict=True):
        if any(is_random(node.op) or isinstance(node.meta, Sym) for node in nodes):
            return None
        rows = [_leaves(node) for node in nodes]
        if len({len(row) for row in rows}) != 1:
            return None
        for parts in zip(*rows, strict=True):
            if isinstance(parts[0], Node):
                if not _reads_as_loop(parts, places, loop.carries):
                    return None
            elif not _is_progression(parts):
                return None
    for j, before in loop.carries.items():
        metas = [_sizes(node.meta) for node in (before, loop.rounds[0][j], loop.rounds[1][j])]
        if len({len(sizes) for sizes in metas}) != 1 or _dtypes(before.meta) != _dtypes(loop.rounds[0][j].meta):
            return None
        if not all(_is_progression(sizes) for sizes in zip(*metas, strict=True)):
            return None
    for node in graph.nodes:
        if node not in places and not _note_reads(node, places, loop):
            return None
    return loop


def _reads_as_loop(parts: Sequence[Node], places: Mapping[Node, tuple[int, int]], carries: Carries) -> bool:
    """Tell whether rounds read one value each as a loop does: their own, that of the round before, or one from outside.

    Notes what is carried.
    """
    here = [places.get(part) for part in parts]
    if all(place is None for place in here):
        return all(part is parts[0] or _same_constant(part, parts[0]) for part in parts)
    if here[0] is not None:
        return all(place == (r, here[0][1]) for r, place in enumerate(here))
    j = here[1][1] if here[1] else -1
    return all(place == (r, j) for r, place in enumerate(here[1:])) and carries.setdefault(j, parts[0]) is parts[0]


def _same_constant(one: Node, other: Node) -> bool:
    return (
        one.op == other.op == "constant" and one.meta == other.meta and bool(mx.array_equal(one.args[0], other.args[0]))
    )


def _note_reads(node: Node, places: Mapping[Node, tuple[int, int]], loop: Loop) -> bool:
    """Note what a node outside reads of a loop; tell whether that is of the last round, or one value of every round."""
    run = _run(node, loop)
    if run is not None:
        collected, rest = run[0], [*run[1], *run[2]]
        if collected not in loop.lists:
            loop.lists.append(collected)
    else:
        rest = list(node.inputs())
    inside = [places[used] for used in rest if used in places]
    loop.lasts |= {j for _, j in inside}
    return all(r == len(loop.rounds) - 1 for r, _ in inside)


def _run(node: Node, loop: Loop) -> tuple[int, list[Node], list[Node], bool] | None:
    """Return for a join of one value of every round its place, what is before and after it, and if it is reversed."""
    if node.op not in JOINS:
        return None
    tensors = node.kwargs["tensors"]
    for j in range(loop.length):
        values = [nodes[j] for nodes in loop.rounds]
        for is_reversed, wanted in ((False, values), (True, values[::-1])):
            if wanted[0] in tensors:
                start = tensors.index(wanted[0])
                if tensors[start : start + len(wanted)] == wanted:
                    return j, tensors[:start], tensors[start + len(wanted) :], is_reversed
    return None


def _key(node: Node) -> str:
    """Return what the same node of every round has in common: all but numbers, and which values it reads."""

    def blank(item: Any) -> str:
        return "value" if isinstance(item, Node) else str(item) if isinstance(item, bool) else "number"

    kwargs = {name: "list" if node.op in JOINS and name == "tensors" else item for name, item in node.kwargs.items()}
    arguments = transform((node.args, kwargs), LEAVES, blank)
    paths = [frame.path for frame in node.stack]
    return repr((node.op, arguments, paths, node.trace, _dtypes(node.meta), len(_sizes(node.meta))))


def _dtypes(meta: Any) -> list[str]:
    return [one.dtype_name for one in leaves(meta, Meta)]


def _sizes(meta: Any) -> list[Any]:
    return [size for one in leaves(meta, Meta) for size in one.shape]


def _leaves(node: Node) -> list[Any]:
    """Return the values and numbers that a node reads, and the sizes of its result."""
    return [*leaves((node.args, node.kwargs), LEAVES), *_sizes(node.meta)]


def _expression(number: Any) -> Any:
    return number.expr if isinstance(number, Sym) else sympy.sympify(number)


def _is_progression(numbers: Sequence[Any]) -> bool:
    """Tell whether each number is the one before plus the same; truth values are equal."""
    if any(isinstance(number, bool) for number in numbers):
        return len(set(numbers)) == 1
    steps = [sympy.expand(_expression(b) - _expression(a)) for a, b in itertools.pairwise(numbers)]
    return len(set(steps)) <= 1


# --- writing ----------------------------------------------------------------------------------------------------------


class _Writer:
    """Write the rolled graph. new: what stands for a node of the short graph, as far as it is written."""

    def __init__(self, short: Graph, long: Graph, size: int, symbol: Any) -> None:
        self.short, self.long, self.size, self.symbol = short, long, size, symbol
        self.new: dict[Node, Node] = {}
        self.indices: dict[Any, int] = {}
        self.ends: list[tuple[Loop, Node]] = []

    def graph(self, loops: Sequence[tuple[Loop, Loop]], sequence: Sequence[Node], longer: Sequence[Node]) -> Graph:
        """Return the whole graph."""
        by_name = {node.name: node for node in self.long.nodes}
        nodes = []
        for node in self.short.nodes:
            if node.op in OUTSIDE and node.op != "output":
                twin = by_name.get(node.name, node)
                if node.op == "constant" and not _same_constant(node, twin):
                    raise NoLoop(f"the constant {node.name} depends on the size")
                nodes.append(self._write(node, twin))
        place = shift = 0
        for loop, other in loops:
            nodes += self._straight(sequence[place : loop.start], longer[place + shift : loop.start + shift])
            nodes += self._loop(loop, other)
            place, shift = loop.end, shift + loop.length
        nodes += self._straight(sequence[place:], longer[place + shift :])
        return Graph([*nodes, self._write(self.short.output, self.long.output)])

    def _straight(self, nodes: Sequence[Node], twins: Sequence[Node]) -> Iterator[Node]:
        for node, twin in zip(nodes, twins, strict=True):
            runs = [(run, loop, end) for loop, end in self.ends if (run := _run(node, loop))]
            yield self._join(node, twin, *runs[0]) if runs else self._write(node, twin)

    def _join(self, node: Node, twin: Node, run: tuple, loop: Loop, end: Node) -> Node:
        """Write a join of what a loop collected."""
        j, before, after, is_reversed = run
        around = [[self.new[item] for item in items] for items in (before, after)]
        arguments = {"before": around[0], "after": around[1], "dim": node.kwargs.get("dim", 0), "reversed": is_reversed}
        meta = self._meta(node.meta, twin.meta)
        where = {"stack": node.stack, "trace": node.trace}
        self.new[node] = Node(node.name, JOINS[node.op], (end, loop.lists.index(j)), arguments, meta, **where)
        return self.new[node]

    def _loop(self, loop: Loop, other: Loop) -> Iterator[Node]:
        """Yield the nodes of a loop. Its second round stands for all."""
        number = len(self.ends)
        index = sympy.Symbol(f"{self.symbol.name}_t{number}", integer=True, nonnegative=True)
        self.indices[index] = 1
        (first, second), last = loop.rounds[:2], loop.rounds[-1]
        where: Any = {"stack": _common([node.stack for node in (*first, *last)]), "trace": first[0].trace}
        count = self._number(len(loop.rounds), len(other.rounds))
        before = [self.new[node] for node in loop.carries.values()]
        begin = Node(f"loop_{number}", "loop.begin", (Sym(index), count), {"carry": before}, **where)
        yield begin
        for place, j in enumerate(loop.carries):
            steps = _sizes(first[j].meta), _sizes(second[j].meta)
            meta = self._meta(first[j].meta, other.rounds[0][j].meta, steps, index)
            carry = Node(first[j].name, "loop.carry", (begin, place), {}, meta, where["stack"], first[j].trace)
            self.new[first[j]] = carry
            yield self.new[first[j]]
        for node, twin, previous in zip(second, other.rounds[1], first, strict=True):
            yield self._write(node, twin, previous, index)
        body, carried = [self.new[node] for node in second], list(loop.carries)
        values = [carried.index(j) if j in carried else body[j] for j in range(loop.length)]
        arguments = {"carry": [body[j] for j in carried], "lists": [values[j] for j in loop.lists]}
        end = Node(f"loop_{number}_end", "loop.end", (begin,), arguments, **where)
        yield end
        for j in sorted(loop.lasts):
            meta = self._meta(last[j].meta, other.rounds[-1][j].meta)
            self.new[last[j]] = Node(last[j].name, "loop.last", (end, values[j]), meta=meta, **where)
            yield self.new[last[j]]
        self.ends.append((loop, end))

    def _write(self, node: Node, twin: Node, previous: Node | None = None, index: Any = None) -> Node:
        """Write one node. twin: in the long graph. previous: the same node of the round before, index: of the loop."""
        steps = None if previous is None else (_sizes(previous.meta), _sizes(node.meta))
        others = iter(_leaves(twin))
        before = iter(_leaves(node if previous is None else previous))

        def general(item: Any) -> Any:
            other, last = next(others), next(before)
            if isinstance(item, Node):
                return self.new[item]
            return item if isinstance(item, bool) else self._number(item, other, last, index)

        args, kwargs = transform((node.args, node.kwargs), LEAVES, general)
        meta = self._meta(node.meta, twin.meta, steps, index)
        self.new[node] = Node(node.name, node.op, args, kwargs, meta, node.stack, node.trace)
        return self.new[node]

    def _meta(self, short: Any, long: Any, steps: tuple[list, list] | None = None, index: Any = None) -> Any:
        """Return an announced result for every size. steps: its sizes in the round before and in this one."""
        others, before = iter(_sizes(long)), iter(_sizes(short))
        if steps is not None:  # as if the round before were a step before `short`
            sizes = zip(before, *steps, strict=True)
            before = iter([_expression(size) - (_expression(b) - _expression(a)) for size, a, b in sizes])

        def general(meta: Meta) -> Meta:
            numbers = [self._number(size, next(others), next(before), index) for size in meta.shape]
            return Meta(tuple(n.expr if isinstance(n, Sym) else n for n in numbers), meta.dtype_name)

        return transform(short, Meta, general)

    def _number(self, short: Any, long: Any, before: Any = None, index: Any = None) -> Any:
        """Return a number for every size. before: the number in the round before, where it depends on an index."""
        short, long = _expression(short), _expression(long)
        value = short + (long - short) * (self.symbol - self.size)
        if index is not None:
            value += (short - _expression(before)) * (index - 1)
        value = sympy.expand(value)
        if not value.is_polynomial(*value.free_symbols):
            raise NoLoop(f"a size that is no sum of products, {value}")
        return int(value) if value.is_Integer else Sym(value)


def _common(stacks: Sequence[tuple]) -> tuple:
    """Return the calls that all of some nodes lie in."""
    depth = 0
    while all(len(stack) > depth and stack[depth] == stacks[0][depth] for stack in stacks):
        depth += 1
    return stacks[0][:depth]
