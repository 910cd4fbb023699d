"""The one schema of benchmark results, as written into benchmarks/*.json."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..units import size_text
from ..version import versions
from .machine import machine
from .measurement import Measurement

SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """What was measured, on what, with what, and when."""

    what: str
    weights: str
    command: str
    measurements: tuple[Measurement, ...]
    runs: int
    threads: dict[str, int]
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    machine: dict[str, Any] = field(default_factory=machine)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    schema: int = SCHEMA
    reference: str = "torch"  # what the other side, `Measurement.torch`, was computed by

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self)
        found["measurements"] = [{**asdict(m), "ratio": m.ratio} for m in self.measurements]
        return found

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "workload": m.workload,
                "measure": m.measure,
                "ours": _figure(m.ours, m.unit),
                self.reference: _figure(m.torch, m.unit),
                "ratio": "" if m.ratio is None else f"{m.ratio:.2f} x",
            }
            for m in self.measurements
        ]

    def summary(self) -> str:
        lines = [
            f"{self.machine['processor']}, {self.machine['cores']} cores, {self.machine['system']}; "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            f"weights: {self.weights}; medians{f' of {self.runs} runs' if self.runs else ''}; "
            f"ratio = {self.reference} / ours",
        ]
        for name, spent in self.profile.items():
            total = sum(spent.values()) or 1.0
            parts = [f"{key} {100 * s / total:.0f}% ({s:.3f} s)" for key, s in spent.items() if s / total >= 0.01]
            lines.append(f"{name}: {', '.join(parts)}")
        return "\n".join(lines)


def write(result: Result, path: Path) -> None:
    """Write the result as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def read(path: Path) -> Result:
    """Read a result back. Raises FormatError if it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["measurements"] = tuple(
            Measurement(m["workload"], m["measure"], m["unit"], m["ours"], m["torch"]) for m in found["measurements"]
        )
        result = Result(**found)
    except (ValueError, TypeError, KeyError) as problem:
        raise FormatError(f"this is no benchmark result: {problem}", where=path) from problem
    if result.schema != SCHEMA:
        raise FormatError(f"benchmark schema {result.schema}, known is {SCHEMA}", where=path)
    return result


def compare(new: Path, old: Path) -> list[dict[str, Any]]:
    """What two results have in common, side by side; above 1 means that `new` needs less."""
    before = {(m.workload, m.measure): m for m in read(old).measurements}
    rows = []
    for m in read(new).measurements:
        was = before.get((m.workload, m.measure))
        if was and m.ours and was.ours:
            row = {"workload": m.workload, "measure": m.measure, "new": _figure(m.ours, m.unit)}
            rows.append({**row, "old": _figure(was.ours, m.unit), "ratio": round(was.ours / m.ours, 3)})
    if not rows:
        raise FormatError(f"nothing was measured in both {new} and {old}")
    return rows


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "bytes":
        return size_text(value)
    return f"{value:.3g} {unit}".strip()
