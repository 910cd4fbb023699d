"""One module through the whole path: capture, write, run, compare at two sizes; steps timed, failures named."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import torch
from torch import nn

from ...errors import PortError
from ..capture import capture
from ..check import check_outputs, import_source
from ..compare import summary
from ..generate import generate
from .op_samples import FAILURES

STEPS = ("built", "exported", "converted", "matched", "dynamic")


@dataclass
class ModuleResult:
    """How far a module came. `reached` is the last step that worked."""

    name: str
    built: bool = False
    exported: bool = False
    converted: bool = False
    matched: bool = False
    dynamic: bool = False
    degenerate: bool = False
    reason: str = ""
    how: str = ""
    inputs: list[str] = field(default_factory=list)
    parameters: int = 0
    lines: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Converted, and right at both sizes, on outputs that mean something."""
        return self.matched and self.dynamic and not self.degenerate

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}


def randomize(module: nn.Module) -> None:
    """Give weights that start as zeros or ones, and batch statistics, values on which a mistake shows."""
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


def measure_module(
    result: ModuleResult, module: nn.Module, cases: Sequence[tuple[tuple, Mapping[str, Any]]]
) -> ModuleResult:
    """Convert a module on the first case and compare on all. A later case has other sizes."""
    result.built = True
    result.inputs = sorted(cases[0][1]) or [f"arg{i}" for i in range(len(cases[0][0]))]
    result.parameters = sum(p.numel() for p in module.parameters())
    module.eval()
    try:
        _measure(result, module, cases)
    except FAILURES as error:
        result.reason = f"{type(error).__name__}: {_line(error)}"
    return result


def _measure(result: ModuleResult, module: nn.Module, cases: Sequence[tuple[tuple, Mapping[str, Any]]]) -> None:
    args, kwargs = cases[0]
    start = time.perf_counter()
    captured = capture(module, args, dict(kwargs))
    result.exported, result.how = True, captured.how
    result.seconds["capture"] = time.perf_counter() - start
    start = time.perf_counter()
    generated = generate(captured, module, args, kwargs)
    result.lines = len(generated.source.splitlines())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model.py").write_text(generated.source)
        (path / "config.json").write_text("{}")
        mx.save_safetensors(str(path / "model.safetensors"), generated.weights)
        model = import_source(path / "model.py").load(folder)
    result.seconds["generate"] = time.perf_counter() - start
    result.converted = True
    for number, (args, kwargs) in enumerate(cases):
        start = time.perf_counter()
        found = check_outputs(model, module, args, kwargs)
        result.seconds[f"check {number}"] = time.perf_counter() - start
        judged = summary(found)
        result.errors.append(judged)
        floats = [one for one in found if one.scale]
        result.degenerate |= not floats or all(one.degenerate for one in floats)
        if not judged["ok"]:
            result.reason = f"{'first' if number == 0 else 'second'} size: {judged['why']}"
            return
        if number == 0:
            result.matched = True
    result.dynamic = len(cases) > 1
    if result.degenerate:
        result.reason = "all outputs are smaller than 1e-3"


def _line(error: BaseException) -> str:
    text = str(error) if isinstance(error, PortError) else f"{error}"
    return " ".join(text.split())[:400]
