"""Measure how far one module comes: captured, written as source, run, compared at two sizes.

Every step is timed, and the first that fails is named.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import torch
from torch import nn

from ...codegen.capture.captured import Captured
from ...codegen.capture.export import capture
from ...codegen.capture.input_sizes import short_names
from ...codegen.capture.methods import FORWARD, Entry, size_hints
from ...codegen.capture.tensors import flat_tensors
from ...codegen.emit.generate import generate
from ...codegen.lowering.sizes import substitute_sizes
from ...codegen.proof.compare import summary
from ...codegen.proof.other_sizes import other_sizes
from ...codegen.proof.outputs import check_outputs, import_source
from ...codegen.sources.example_inputs import FAILURES

Case = tuple[tuple, Mapping[str, Any]]
"""The args and kwargs of one call of a module."""


@dataclass
class ModuleResult:
    """How far a module came: each step that worked, and the reason where one did not.

    matched: agrees with PyTorch at the first size. dynamic: and at others, which vary every dynamic size but those of
    `not_varied`, of which the original takes no other. degenerate: outputs too small to prove anything. how: what
    captured it. seconds: by step, of CPU time: on one thread that is what a quiet machine takes. clock: says so on
    disk, as older results count the wall's. errors: at each size, against float64 PyTorch.
    """

    name: str
    model: str = ""
    built: bool = False
    exported: bool = False
    converted: bool = False
    matched: bool = False
    dynamic: bool = False
    degenerate: bool = False
    reason: str = ""
    how: str = ""
    other_size: str = ""
    not_varied: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    parameters: int = 0
    lines: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    clock: str = "cpu"
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether the source agrees with PyTorch at both sizes, on outputs that are not degenerate."""
        return self.matched and self.dynamic and not self.degenerate

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a line of JSON on disk has it."""
        return asdict(self) | {"ok": self.ok}


def randomize(module: nn.Module) -> None:
    """Vary weights that start as constants, and batch statistics: on zeros and ones a mistake would not show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and parameter.numel() and parameter.min() == parameter.max():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter.requires_grad_(False)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.1 * torch.randn(buffer.shape, generator=generator)
            elif name.endswith("running_var"):
                buffer *= 0.5 + torch.rand(buffer.shape, generator=generator)


def measure_module(result: ModuleResult, module: nn.Module, first: Case, others: Sequence[Case]) -> ModuleResult:
    """Convert a module on the first case; compare on it, and on others until every dynamic size was another one.

    What fails is the reason of the result; nothing is raised.
    """
    result.built = True
    result.inputs = sorted(first[1]) or [f"arg{i}" for i in range(len(first[0]))]
    result.parameters = sum(p.numel() for p in module.parameters())
    module.eval()
    try:
        _measure(result, module, first, others)
    except FAILURES as error:
        result.reason = f"{type(error).__name__}: {line_of(error)}"
    return result


def not_built(error: BaseException) -> str:
    """Return the reason of a case whose module could not be built or takes no example inputs."""
    return f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _measure(result: ModuleResult, module: nn.Module, first: Case, others: Sequence[Case]) -> None:
    args, kwargs = first
    start = time.process_time()
    captured = capture(module, args, dict(kwargs))
    result.exported, result.how = True, captured.how
    result.seconds["capture"] = time.process_time() - start
    start = time.process_time()
    generated = generate([Entry(FORWARD, args, kwargs, captured)], module)
    result.lines = len(generated.source.splitlines())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model.py").write_text(generated.source)
        (path / "config.json").write_text(json.dumps({"sizes": generated.sizes}))
        mx.save_safetensors(str(path / "model.safetensors"), dict(generated.weights))
        model = import_source(path / "model.py").load(folder)
    result.seconds["generate"] = time.process_time() - start
    result.converted = True
    result.matched = _agrees(result, "first size", model, module, first)
    if not result.matched:
        return
    _vary(result, model, module, captured, first, others)
    if result.degenerate and not result.reason:
        result.reason = "all outputs are smaller than 1e-3"


def _vary(
    result: ModuleResult, model: Any, module: nn.Module, captured: Captured, first: Case, others: Sequence[Case]
) -> None:
    """Compare on other cases, those of the suite before those of `convert`, until every dynamic size was varied.

    What is left then are sizes of which the original takes no other, alone or with all others.
    """
    hints = size_hints(Entry(FORWARD, *first, captured))
    names = short_names(captured.graph.inputs())
    left = dict(hints)
    grown = other_sizes(captured, module, *first, hints)
    for case in itertools.chain(others, ((args, kwargs) for _, args, kwargs in grown)):
        sizes = case_sizes(captured, case)
        if sizes is None or not any(sizes[size] != value for size, value in left.items()):
            continue
        result.other_size = "; ".join(filter(None, (result.other_size, shapes_text(case))))
        result.dynamic = _agrees(result, "other size", model, module, case)
        left = {size: value for size, value in left.items() if sizes[size] == value}
        if not result.dynamic or not left:
            break
    result.not_varied = [names.get(str(size), str(size)) for size in left]
    if not result.dynamic and not result.reason:
        result.reason = "no size is dynamic" if others else "the original takes no other size"


def shapes_text(case: Case) -> str:
    """Return the shapes of all tensors of a case."""
    return str([list(tensor.shape) for tensor in flat_tensors(case)])


def _agrees(result: ModuleResult, size: str, model: Any, module: nn.Module, case: Case) -> bool:
    """Compare on one case, note its errors and seconds under `size`, and return whether all outputs agree."""
    start = time.process_time()
    agreements = check_outputs(model, module, *case)
    result.seconds[size] = result.seconds.get(size, 0) + time.process_time() - start
    worst = summary(agreements)
    result.errors.append(worst)
    floats = [agreement for agreement in agreements if agreement.scale]
    result.degenerate |= not floats or all(agreement.degenerate for agreement in floats)
    if not worst["ok"]:
        result.reason = f"{size}: {worst['why']}"
    return worst["ok"]


def accepts(captured: Captured, case: Case) -> bool:
    """Return whether the captured graph holds for a case: it differs in dynamic sizes only, and no guard fails."""
    return case_sizes(captured, case) is not None


def case_sizes(captured: Captured, case: Case) -> dict[Any, int] | None:
    """Return the dynamic sizes of a case; None if the captured graph does not hold for it."""
    metas = [node.meta for node in captured.graph.inputs()]
    tensors = flat_tensors(case)
    if len(metas) != len(tensors):
        return None
    pairs = [
        (size, actual)
        for meta, tensor in zip(metas, tensors, strict=True)
        for size, actual in zip(meta.shape, tensor.shape, strict=True)
    ]
    sizes = {size: actual for size, actual in pairs if not isinstance(size, int) and size.is_Symbol}
    fits = all((size if isinstance(size, int) else substitute_sizes(size, sizes)) == actual for size, actual in pairs)
    return sizes if fits and all(guard.holds(sizes) for guard in captured.guards) else None


def line_of(error: BaseException) -> str:
    """Return an error in one line, with paths as they are imported, wherever this machine has the files."""
    text = " ".join(str(error).split())
    for folder in sorted((path for path in sys.path if path.startswith("/") and len(path) > 1), key=len, reverse=True):
        text = text.replace(f"{folder.rstrip('/')}/", "")
    return text[:400]
