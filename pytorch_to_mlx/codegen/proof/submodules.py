"""Proof of a conversion, submodule by submodule, and down to the first wrong op where one fails.

Every submodule is given torch's own float32 values, so an error shows where it is made and does not travel. The truth
is the same part of the exported graph, computed by torch in float64 from those values.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import torch
from torch.utils import _pytree as pytree

from ..capture.methods import Entry
from ..capture.tensors import to_mlx, to_numpy
from ..emit.call_tree import Call
from ..emit.generate import Generated
from ..emit.user_modules import run_user_module
from ..extensions import replacement_for
from ..graph import Meta, Node, Sym, Unsupported, transform
from ..lowering.interpret import evaluate, step
from ..lowering.sizes import PREFIX
from ..paths import layered, mlx_parts
from .compare import Agreement, agree, summary
from .truth import Truth


@dataclass(frozen=True)
class Checked:
    """One call of one submodule by a method of the model, compared."""

    method: str
    path: str
    call: int
    class_name: str
    ok: bool
    error: float
    torch_float32_error: float
    scale: float
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_submodules(
    generated: Generated, entry: Entry, model: Any, hints: Mapping[Any, int], reset: Callable[[], None]
) -> list[Checked]:
    """Run every submodule of the generated model on torch's values and compare what it returns.

    A call is checked as soon as torch's values for it are there, and each value is freed after its last check.
    reset: gives the model its weights anew, so that those that a check has read are freed.
    """
    calls = [call for call in generated.roots[entry.name].calls() if call.path]
    needs = {call: {n.name for n in (*call.inputs, *call.outputs) if n.op not in ("weight", "input")} for call in calls}
    left = Counter(name for names in needs.values() for name in names)
    read = _sizes_read(entry)  # from data: known as soon as PyTorch has read them
    missing = {call: names | _reads(generated, call, read) for call, names in needs.items()}
    truth = Truth(entry, {*left, *read.values()})
    found: dict[Call, list[Checked]] = {}

    def check(call: Call) -> None:
        sizes = {symbol: truth.values[name] for symbol, name in read.items() if name in truth.values}
        found[call] = list(_check(call, generated, truth, model, {**hints, **sizes}, reset))
        for name in needs[call]:
            left[name] -= 1
            if not left[name] and name not in read.values():
                del truth.values[name]

    def made(name: str) -> None:
        for call in reversed(calls):  # what is inside a call first
            if name in missing[call]:
                missing[call].remove(name)
                if not missing[call]:
                    check(call)

    with layered(generated.layered):
        truth.run(made)
    if lost := sorted({name for names in missing.values() for name in names}):
        raise AssertionError(f"PyTorch's graph has no values {lost}")
    return [one for call in calls for one in found.get(call, [])]


def _check(
    call: Call, generated: Generated, truth: Truth, model: Any, hints: Mapping[Any, int], reset: Callable[[], None]
) -> Iterator[Checked]:
    arrays = [node for node in call.outputs if isinstance(node.meta, Meta)]
    if not arrays or len(arrays) != len(call.outputs):
        return
    given = [truth.narrow(node) for node in call.inputs]
    module = place_of(model, call.path)
    inputs = [pytree.tree_map(to_mlx, value) for value in given]
    layer = generated.layers.get(call.path)
    if layer is not None and layer.user_module:
        ours: Any = run_user_module(module, layer.user_module, call, inputs)
        ours = ours[0] if len(arrays) == 1 else ours
    elif layer is not None:
        ours = _run_layer(module, layer.channels_last, inputs[0])
    else:
        draft = generated.drafts[call]
        sizes = [_size(name, hints) for name in draft.sizes]
        if None in sizes:  # nothing in PyTorch's graph reads it
            return
        function = getattr(module, draft.method)
        ours = function(*inputs, *sizes)
    reset()
    known = {node.name: value for node, value in zip(call.inputs, given, strict=True) if node.op != "weight"}
    outputs = [ours] if len(arrays) == 1 else list(ours)
    found = [_compare(truth, node, value, known) for node, value in zip(arrays, outputs, strict=True)]
    judged = summary(found)
    yield Checked(
        truth.method,
        call.path,
        call.number,
        call.class_name,
        judged["ok"],
        judged["error"],
        judged["torch_float32_error"],
        judged["scale"],
        judged["why"],
    )


def _compare(truth: Truth, node: Node, ours: mx.array, known: Mapping[str, Any]) -> Agreement:
    narrow, wide = truth.narrow(node), truth.wide(node, known)
    exact = to_numpy(wide) if wide.shape == narrow.shape else None
    return agree(to_numpy(ours), to_numpy(narrow), exact)


def _run_layer(module: Any, channels_last: bool, x: mx.array) -> mx.array:
    if not channels_last:
        return module(x)
    y = module(x.transpose(0, *range(2, x.ndim), 1))
    return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def _size(name: str, hints: Mapping[Any, int]) -> int | None:
    return next((value for symbol, value in hints.items() if f"{PREFIX}{symbol}" == name), None)


def _sizes_read(entry: Entry) -> dict[str, str]:
    """The sizes that PyTorch reads from data, and the node that reads each."""
    read: dict[str, str] = {}
    for node in entry.captured.program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            read.setdefault(str(value.node.expr), node.name)
    return read


def _reads(generated: Generated, call: Call, read: Mapping[str, str]) -> set[str]:
    """The nodes that read the sizes which a call is given."""
    draft = generated.drafts.get(call)
    names = draft.sizes if draft is not None else ()
    return {node for symbol, node in read.items() if f"{PREFIX}{symbol}" in names}


def place_of(model: Any, path: str) -> Any:
    """The submodule of a generated model that stands for a dotted path of the original."""
    for part in mlx_parts(path):
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    return model


@dataclass(frozen=True)
class WrongOp:
    """The first op whose MLX form differs from torch on the same inputs."""

    op: str
    module: str
    where: str
    why: str


def first_wrong_op(entry: Entry, hints: Mapping[Any, int]) -> WrongOp | None:
    """Go through a graph node by node, each on torch's own inputs, down to the first that is wrong."""
    graph = entry.captured.graph
    truth = Truth(entry, {node.name for node in graph.nodes}).run()
    sizes = dict(hints)
    for node in graph.nodes:
        if node.op.count(".") < 2 or not isinstance(node.meta, Meta):
            continue
        if any(replacement_for(frame.class_name) for frame in node.stack):
            continue

        def value(item: Any) -> Any:
            if isinstance(item, Sym):
                return evaluate(item, sizes)
            if item.op == "constant":
                return item.args[0]
            return pytree.tree_map(to_mlx, truth.narrow(item))

        known = {item.name: truth.narrow(item) for item in node.inputs() if item.op not in ("weight", "constant")}
        try:
            ours = step(node, (), transform(node.kwargs, (Node, Sym), value), sizes)
        except Unsupported as error:
            return WrongOp(node.op, node.module, node.where, str(error))
        judged = _compare(truth, node, ours, known)
        if not judged.ok:
            return WrongOp(node.op, node.module, node.where, judged.why)
    return None
