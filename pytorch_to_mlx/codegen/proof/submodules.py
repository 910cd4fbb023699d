"""Prove a conversion submodule by submodule, and find the first wrong op where one differs.

Every submodule runs on PyTorch's own float32 values, so an error shows where it is made and does not travel. The
arbiter is the same part of the exported graph, computed by PyTorch in float64 from those values.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import torch
from torch.utils import _pytree as pytree

from ..capture.methods import Entry
from ..capture.tensors import flat_tensors, to_mlx, to_numpy
from ..emit.call_tree import Call
from ..emit.generate import Generated
from ..emit.user_modules import run_user_module
from ..extensions import replacement_for
from ..graph import Meta, Node, Sym, Unsupported, transform
from ..lowering.interpret import evaluate, step
from ..lowering.sizes import PREFIX
from ..paths import module_lists, submodule
from .compare import NOT_COMPARED, Agreement, agree, summary, tolerance_of
from .truth import Truth

Sizes = Mapping[Any, int]  # symbol of a dynamic size -> its value


@dataclass(frozen=True)
class SubmoduleCheck:
    """One call of one submodule by a method of the model, compared. The errors are those of its worst output."""

    method: str
    path: str
    call: int
    class_name: str
    ok: bool
    error: float
    torch_float32_error: float
    scale: float
    why: str = ""
    tolerance: str = "float32"
    random: bool = False
    zero: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as data for a report."""
        return asdict(self)


def check_submodules(
    generated: Generated, entry: Entry, model: Any, hints: Sizes, reset: Callable[[str], None]
) -> list[SubmoduleCheck]:
    """Run every submodule of the generated model on PyTorch's values and compare what it returns.

    A call is checked as soon as PyTorch has computed its values, and each value is freed after its last check.
    reset: gives the submodule of a path its weights anew, so that those that a check has read are freed.
    """
    calls = [call for call in generated.roots[entry.name].calls() if call.path]
    needs = {
        call: {n.name for n in (*call.inputs, *call.outputs) if n.op not in ("weight", "input", "noise")}
        for call in calls
    }
    n_checks = Counter(name for names in needs.values() for name in names)  # of each value, still to come
    readers = _size_readers(entry)
    missing = {call: names | _readers_of(generated, call, readers) for call, names in needs.items()}
    truth = Truth(entry, {*n_checks, *readers.values()})
    results: dict[Call, list[SubmoduleCheck]] = {}

    def check(call: Call) -> None:
        sizes = {symbol: truth.values[name] for symbol, name in readers.items() if name in truth.values}
        known = {**entry.captured.indices, **hints, **sizes}
        results[call] = list(_check(call, generated, truth, model, known, reset))
        for name in needs[call]:
            n_checks[name] -= 1
            if not n_checks[name] and name not in readers.values():
                del truth.values[name]

    def check_ready(name: str) -> None:
        for call in reversed(calls):  # children before the call around them
            if name in missing[call]:
                missing[call].remove(name)
                if not missing[call]:
                    check(call)

    with module_lists(generated.module_lists):
        truth.run(check_ready)
    if absent := sorted({name for names in missing.values() for name in names}):
        raise AssertionError(f"PyTorch's graph has no values {absent}")
    return [result for call in calls for result in results.get(call, [])]


def _check(
    call: Call, generated: Generated, truth: Truth, model: Any, hints: Sizes, reset: Callable[[str], None]
) -> Iterator[SubmoduleCheck]:
    """Compare one call; nothing is yielded for one that cannot be run alone."""
    nodes = [node for node in call.outputs if isinstance(node.meta, Meta)]
    if not nodes or len(nodes) != len(call.outputs):
        return
    if any(truth.is_random(node) for node in call.nodes()):
        yield SubmoduleCheck(truth.method, call.path, call.number, call.class_name, **summary([NOT_COMPARED]))
        return
    values = [truth.float32(node) for node in call.inputs]
    inputs = [pytree.tree_map(to_mlx, value) for value in values]
    module = submodule(model, call.path)
    layer = generated.layers.get(call.path)
    if layer is not None and layer.user_module:
        ours: Any = run_user_module(module, layer.user_module, call, inputs)
        ours = ours[0] if len(nodes) == 1 else ours
    elif layer is not None:
        ours = _run_layer(module, layer.channels_last, inputs[0])
    else:
        draft = generated.drafts[call]
        sizes = [_size(name, hints) for name in draft.sizes]
        if None in sizes:  # nothing in PyTorch's graph reads it
            return
        interface = generated.interfaces[call.path, draft.method]
        ours = interface.call(getattr(module, draft.method), [*inputs, *sizes])
        ours = ours[0] if len(nodes) == 1 else ours
    reset(call.path)
    known = {node.name: value for node, value in zip(call.inputs, values, strict=True) if node.op != "weight"}
    outputs = [ours] if len(nodes) == 1 else list(ours)
    tensors = [*flat_tensors(values), *_weights_read(call, truth)]
    tolerance = tolerance_of(*tensors)
    worst = summary(
        [_compare(truth, node, value, known, tolerance) for node, value in zip(nodes, outputs, strict=True)]
    )
    yield SubmoduleCheck(truth.method, call.path, call.number, call.class_name, **worst)


def _weights_read(call: Call, truth: Truth) -> list[torch.Tensor]:
    nodes = dict.fromkeys(used for node in call.nodes() for used in node.inputs() if used.op == "weight")
    return [truth.float32(node) for node in nodes]


def _compare(truth: Truth, node: Node, ours: mx.array, known: Mapping[str, Any], tolerance: str) -> Agreement:
    float32, float64 = truth.float32(node), truth.float64(node, known)
    arbiter = to_numpy(float64) if float64.shape == float32.shape else None
    return agree(to_numpy(ours), to_numpy(float32), arbiter, tolerance)


def _run_layer(module: Any, channels_last: bool, x: mx.array) -> mx.array:
    """Run a layer of MLX on an array in PyTorch's layout.

    Shapes: x [B, C, *] with channels_last, else any -> the same layout.
    """
    if not channels_last:
        return module(x)
    y = module(x.transpose(0, *range(2, x.ndim), 1))
    return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def _size(name: str, sizes: Sizes) -> int | None:
    return next((value for symbol, value in sizes.items() if f"{PREFIX}{symbol}" == name), None)


def _size_readers(entry: Entry) -> dict[str, str]:
    """Return the node that reads each size which depends on data, by the size's symbol."""
    readers: dict[str, str] = {}
    for node in entry.captured.program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            readers.setdefault(str(value.node.expr), node.name)
    return readers


def _readers_of(generated: Generated, call: Call, readers: Mapping[str, str]) -> set[str]:
    """Return the nodes that read the sizes among a call's arguments."""
    draft = generated.drafts.get(call)
    names = draft.sizes if draft is not None else ()
    return {node for symbol, node in readers.items() if f"{PREFIX}{symbol}" in names}


@dataclass(frozen=True)
class WrongOp:
    """The first op whose MLX form differs from PyTorch on the same inputs."""

    op: str
    module: str
    where: str
    why: str


def first_wrong_op(entry: Entry, hints: Sizes) -> WrongOp | None:
    """Run a graph node by node, each on PyTorch's own inputs, and return the first that differs."""
    graph = entry.captured.graph
    truth = Truth(entry, {node.name for node in graph.nodes}).run()
    sizes = {**entry.captured.indices, **hints}

    def argument(item: Any) -> Any:
        if isinstance(item, Sym):
            return evaluate(item, sizes)
        if item.op == "constant":
            return item.args[0]
        return pytree.tree_map(to_mlx, truth.float32(item))

    for node in graph.nodes:
        if node.op.count(".") < 2 or not isinstance(node.meta, Meta):
            continue
        if any(replacement_for(frame.class_name) for frame in node.stack) or truth.is_random(node):
            continue
        known = {item.name: truth.float32(item) for item in node.inputs() if item.op not in ("weight", "constant")}
        try:
            ours = step(node, (), transform(node.kwargs, (Node, Sym), argument), sizes)
        except Unsupported as error:
            return WrongOp(node.op, node.module, node.where, str(error))
        read = [truth.float32(item) for item in node.inputs() if item.op != "constant"]
        agreement = _compare(truth, node, ours, known, tolerance_of(*flat_tensors(read)))
        if not agreement.ok:
            return WrongOp(node.op, node.module, node.where, agreement.why)
    return None
