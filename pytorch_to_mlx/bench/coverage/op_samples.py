"""torch's own op tests as a measure: every sample of every float32 entry of `op_db`, none skipped.

A sample is traced with functional tensors, lowered node by node and compared with torch in float64. It passes if every
output agrees (see codegen/proof/compare.py); an entry passes if all its samples do.

Some ops read a number from a tensor and continue in Python (`item`, `equal`, a check of the arguments): the trace then
holds for that number only. MLX computes the number too, and the sample fails if it differs from torch's. Ops that draw
random numbers compute from the same noise on both sides, as with `--noise input`. Singular vectors are determined up to
their signs, and more freely where a singular value is repeated: their products are compared.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from ...codegen.capture.decompose import decompositions
from ...codegen.capture.fx_graph import is_assertion, read_graph
from ...codegen.capture.noise import HandOut, noise_as_inputs
from ...codegen.capture.tensors import to_mlx, to_numpy
from ...codegen.graph import Graph
from ...codegen.lowering.interpret import run
from ...codegen.proof.compare import agree
from ...codegen.proof.float64 import to_float64
from ...codegen.sources.example_inputs import FAILURES

SINGULAR_VECTORS = ("svd", "linalg.svd", "svd_lowrank", "pca_lowrank")
UNINITIALISED = ("empty", "new_empty")  # their values mean nothing: shape and dtype are compared


@dataclass
class EntryResult:
    """One entry of op_db: how many samples it has, how many pass, and the reasons of the others.

    number_reads: samples whose trace read numbers from tensors, and holds for those numbers.
    """

    name: str
    samples: int = 0
    passed: int = 0
    number_reads: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether all samples pass, of at least one."""
        return self.samples > 0 and self.passed == self.samples

    def record(self, reason: str) -> None:
        """Count one sample. reason: why it fails; "" if it passes."""
        self.samples += 1
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        else:
            self.passed += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a line of JSON on disk has it."""
        return asdict(self) | {"ok": self.ok}


def entries() -> Iterator[Any]:
    """Return the entries of op_db that have float32 samples on a CPU."""
    from torch.testing._internal.common_methods_invocations import op_db

    return (entry for entry in op_db if torch.float32 in entry.supported_dtypes("cpu"))


def entry_name(entry: Any) -> str:
    """Return an entry's name with its variant: `as_strided.partial_views`."""
    return f"{entry.name}.{entry.variant_test_name}" if entry.variant_test_name else entry.name


def measure(entry: Any, limit: int | None = None) -> EntryResult:
    """Check the samples of one entry, or the first `limit` of them."""
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
                reason, reads_numbers = check_sample(entry, sample)
            except FAILURES as error:
                reason, reads_numbers = f"{type(error).__name__}: {_line(error)}", False
            result.record(reason)
            result.number_reads += reads_numbers
    return result


def check_sample(entry: Any, sample: Any) -> tuple[str, bool]:
    """Return why a sample fails, or "" if it passes; and whether its trace reads numbers from tensors."""
    flat, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [i for i, item in enumerate(flat) if isinstance(item, torch.Tensor)]

    def call(*tensors: torch.Tensor) -> Any:
        full = list(flat)
        for place, tensor in zip(places, tensors, strict=True):
            full[place] = tensor
        first, args, kwargs = tree_unflatten(full, spec)
        return entry(first, *args, **kwargs)

    tensors = [flat[place].detach() for place in places]
    graph, numbers, noise = trace(call, tensors)
    outputs, our_numbers = run(
        graph, [to_mlx(tensor) for tensor in tensors], noise=[to_mlx(tensor) for tensor in noise]
    )
    for ours, torchs in zip(our_numbers, numbers, strict=True):
        if ours != torchs and not (math.isnan(ours) and math.isnan(torchs)):
            return f"it goes on with {ours} where torch reads {torchs}", True
    ours, _ = tree_flatten(outputs)
    return compare_outputs(entry.name, call, tensors, ours, noise), bool(numbers)


def trace(call: Callable, tensors: list[torch.Tensor]) -> tuple[Graph, list[Any], list[torch.Tensor]]:
    """Return the graph of a function of tensors, with capture's decompositions and without in-place ops.

    The graph returns the function's outputs, and all numbers that the function reads from tensors. Torch's values of
    these are the second result: the graph stands for the function only where they are equal. The third is the noise of
    its draws.
    """
    module = _functional(call, tensors)
    if any(_in_place(node) for node in module.graph.nodes):
        module = _functional(module, tensors)
    output = next(node for node in module.graph.nodes if node.op == "output")
    output.args = ((output.args[0], [node for node in module.graph.nodes if _reads_number(node)]),)
    module.graph.eliminate_dead_code()
    module.recompile()
    graph = read_graph(module)
    noise_as_inputs(graph, module.graph)
    with HandOut() as drawn:
        numbers = module(*_copies(tensors))[1]
    return graph, numbers, drawn.used


def _functional(call: Callable, tensors: list[torch.Tensor]) -> torch.fx.GraphModule:
    function = torch.func.functionalize(call)
    trace = make_fx(function, decomposition_table=decompositions(), _error_on_data_dependent_ops=False)
    return trace(*_copies(tensors))


def _reads_number(node: Any) -> bool:
    """Return whether a node gives a Python number that depends on the values of a tensor."""
    if not isinstance(node.target, torch._ops.OpOverload) or is_assertion(node.target):
        return False
    returns = node.target._schema.returns
    data_dependent = torch.Tag.data_dependent_output in node.target.tags
    return data_dependent and any("Tensor" not in str(item.type) for item in returns)


def _in_place(node: Any) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _copies(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return copies that in-place ops may change; a view stays itself, as a copy would lose its base and strides."""
    return [
        tensor.clone(memory_format=torch.preserve_format) if not tensor._is_view() else tensor for tensor in tensors
    ]


def compare_outputs(
    name: str, call: Callable, tensors: list[torch.Tensor], ours: list[Any], noise: Sequence[torch.Tensor] = ()
) -> str:
    """Return why our outputs differ from those of `call(*tensors)` with this noise, or "" if they agree.

    The measure is torch in float64, or in float32 where the op does not run in float64.
    """
    with HandOut(noise):
        plain, _ = tree_flatten(call(*_copies(tensors)))
    try:
        with HandOut(noise):
            exact, _ = tree_flatten(call(*[to_float64(tensor.detach().clone()) for tensor in tensors]))
    except FAILURES:
        exact = plain
    if len(plain) != len(ours):
        return f"{len(ours)} outputs instead of {len(plain)}"
    if name in SINGULAR_VECTORS and len(ours) == 3:
        plain, exact = _products(name, plain), _products(name, exact)
        ours = [to_mlx(product) for product in _products(name, [torch.tensor(to_numpy(our)) for our in ours])]
    for our, torch32, torch64 in zip(ours, plain, exact, strict=True):
        if not isinstance(torch32, torch.Tensor):
            if our != torch32:
                return f"{our!r} instead of {torch32!r}"
            continue
        array, array32 = to_numpy(our), to_numpy(torch32)
        if name.startswith(UNINITIALISED):
            array, array32 = np.zeros_like(array), np.zeros_like(array32)
            torch64 = None
        comparable = isinstance(torch64, torch.Tensor) and torch64.shape == torch32.shape
        agreement = agree(array, array32, to_numpy(torch64) if comparable else None)
        if not agreement.ok:
            return agreement.why.partition(" at [")[0]  # without the place and the values: reasons are counted
    return ""


def _products(name: str, factors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return what U, S and V or its transpose determine: U S Vᵀ, S, UᵀU and VᵀV."""
    u, s, v = factors
    v = v.mH if name == "linalg.svd" else v
    n = s.shape[-1]
    return [(u[..., :n] * s.unsqueeze(-2)) @ v[..., :n].mH, s, u.mH @ u, v.mH @ v]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
