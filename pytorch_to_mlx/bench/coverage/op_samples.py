"""torch's own op tests as a measure: every sample of every float32 entry of `op_db`, none skipped.

A sample is traced with functional tensors, lowered node by node and compared with torch in float64. It counts as
right if every output agrees (see compare.py); an entry is right if all its samples are.

Some ops read a number from a tensor and go on in Python (`item`, `equal`, a check of the arguments): a trace then
holds for that number only. MLX computes the number too, and the sample is wrong if it is another one than torch's.
Ops that draw random numbers are refused by the op table, and count as wrong.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from ...codegen.capture.decompose import decompositions
from ...codegen.capture.fx_graph import is_assertion, read_graph
from ...codegen.capture.tensors import to_mlx, to_numpy
from ...codegen.graph import Graph
from ...codegen.lowering.interpret import run
from ...codegen.proof.compare import agree
from ...codegen.proof.float64 import to_float64
from ...codegen.sources.example_inputs import FAILURES

UNINITIALISED = ("empty", "new_empty")  # their values mean nothing: shape and dtype are compared


@dataclass
class EntryResult:
    """One entry of op_db: how many samples, how many right, and the reasons for the others.

    read: how many samples hold for the numbers that were read from tensors while they were traced.
    """

    name: str
    samples: int = 0
    right: int = 0
    read: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.samples > 0 and self.right == self.samples

    def record(self, reason: str) -> None:
        self.samples += 1
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        else:
            self.right += 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}


def entries() -> Iterator[Any]:
    """The entries of op_db that have float32 samples on a CPU."""
    from torch.testing._internal.common_methods_invocations import op_db

    return (entry for entry in op_db if torch.float32 in entry.supported_dtypes("cpu"))


def entry_name(entry: Any) -> str:
    return f"{entry.name}.{entry.variant_test_name}" if entry.variant_test_name else entry.name


def measure(entry: Any, limit: int | None = None) -> EntryResult:
    """Run the samples of one entry (the first `limit` of them)."""
    result = EntryResult(entry_name(entry))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            samples = list(islice(entry.sample_inputs("cpu", torch.float32, requires_grad=False), limit))
        except FAILURES as error:
            result.record(f"no samples: {_line(error)}")
            return result
        for sample in samples:
            try:
                reason, read = check_sample(entry, sample)
            except FAILURES as error:
                reason, read = f"{type(error).__name__}: {_line(error)}", False
            result.record(reason)
            result.read += read
    return result


def check_sample(entry: Any, sample: Any) -> tuple[str, bool]:
    """Why a sample is wrong, or "" if it is right; and whether its trace read numbers from tensors."""
    flat, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [i for i, item in enumerate(flat) if isinstance(item, torch.Tensor)]

    def call(*tensors: torch.Tensor) -> Any:
        full = list(flat)
        for place, tensor in zip(places, tensors, strict=True):
            full[place] = tensor
        first, args, kwargs = tree_unflatten(full, spec)
        return entry(first, *args, **kwargs)

    tensors = [flat[place].detach() for place in places]
    graph, numbers = trace(call, tensors)
    found, computed = run(graph, [to_mlx(tensor) for tensor in tensors])
    for ours, wanted in zip(computed, numbers, strict=True):
        if ours != wanted and not (math.isnan(ours) and math.isnan(wanted)):
            return f"it goes on with {ours} where torch reads {wanted}", True
    ours, _ = tree_flatten(found)
    return compare_outputs(entry.name, call, tensors, ours), bool(numbers)


def trace(call: Callable, tensors: list[torch.Tensor]) -> tuple[Graph, list[Any]]:
    """Our graph of a function of tensors, with the decompositions that capture uses and no in-place ops left.

    The graph returns the function's outputs, and all numbers that the function reads from tensors. Torch's values of
    these are the second result: the graph is the function's only where they are the same.
    """
    module = _functional(call, tensors)
    if any(_in_place(node) for node in module.graph.nodes):
        module = _functional(module, tensors)
    output = next(node for node in module.graph.nodes if node.op == "output")
    output.args = ((output.args[0], [node for node in module.graph.nodes if _reads_number(node)]),)
    module.graph.eliminate_dead_code()
    module.recompile()
    return read_graph(module), module(*_copies(tensors))[1]


def _functional(call: Callable, tensors: list[torch.Tensor]) -> torch.fx.GraphModule:
    function = torch.func.functionalize(call)
    trace = make_fx(function, decomposition_table=decompositions(), _error_on_data_dependent_ops=False)
    return trace(*_copies(tensors))


def _reads_number(node: Any) -> bool:
    """Whether a node gives a Python number that depends on what is in a tensor."""
    if not isinstance(node.target, torch._ops.OpOverload) or is_assertion(node.target):
        return False
    returns = node.target._schema.returns
    data_dependent = torch.Tag.data_dependent_output in node.target.tags
    return data_dependent and any("Tensor" not in str(item.type) for item in returns)


def _in_place(node: Any) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _copies(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [
        tensor.clone(memory_format=torch.preserve_format) if not tensor._is_view() else tensor for tensor in tensors
    ]


def compare_outputs(name: str, call: Callable, tensors: list[torch.Tensor], ours: list[Any]) -> str:
    torch.manual_seed(0)
    plain, _ = tree_flatten(call(*_copies(tensors)))
    try:
        exact, _ = tree_flatten(call(*[to_float64(tensor.detach().clone()) for tensor in tensors]))
    except FAILURES:
        exact = plain
    if len(plain) != len(ours):
        return f"{len(ours)} outputs instead of {len(plain)}"
    for got, want, truth in zip(ours, plain, exact, strict=True):
        if not isinstance(want, torch.Tensor):
            if got != want:
                return f"{got!r} instead of {want!r}"
            continue
        got, wanted = to_numpy(got), to_numpy(want)
        if name.startswith(UNINITIALISED):
            got = wanted if got.shape == wanted.shape and got.dtype == wanted.dtype else got
        judged = agree(
            got, wanted, to_numpy(truth) if isinstance(truth, torch.Tensor) and truth.shape == want.shape else None
        )
        if not judged.ok:
            return judged.why
    return ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
