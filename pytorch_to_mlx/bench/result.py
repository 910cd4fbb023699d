"""The one schema of benchmark results, as written into benchmarks/*.json."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..outputs import write_output
from ..units import number_text, size_text
from ..version import versions
from .machine import machine
from .measurement import Measurement

SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """The measurements of one run, with the machine, versions, threads and command that they hold for.

    what: a family, `ops` or `decoding`. runs: calls behind each median; 0 where that varies. profile: seconds by stage
    or op, by workload and side. reference: what the other side, `Measurement.torch`, was computed by.
    """

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
    reference: str = "torch"

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as JSON types."""
        data = asdict(self)
        data["measurements"] = [{**asdict(m), "ratio": m.ratio} for m in self.measurements]
        return data

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each measurement."""
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
        """Return the machine, versions and weights in a few lines, and the shares of each profile from 1 % on."""
        lines = [
            f"{self.machine['processor']}, {self.machine['cores']} cores, {self.machine['system']}; "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            f"weights: {self.weights}; medians{f' of {self.runs} runs' if self.runs else ''}; "
            f"ratio = {self.reference} / ours",
        ]
        for name, seconds in self.profile.items():
            total = sum(seconds.values()) or 1.0
            parts = [f"{key} {100 * s / total:.0f}% ({s:.3f} s)" for key, s in seconds.items() if s / total >= 0.01]
            lines.append(f"{name}: {', '.join(parts)}")
        return "\n".join(lines)


def write(result: Result, path: Path) -> None:
    """Write the result as JSON, whole or not at all. Raises: what outputs.write_output raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, json.dumps(result.to_dict(), indent=2) + "\n")


def read(path: Path) -> Result:
    """Read a result back.

    Raises: FormatError for anything but a benchmark result of this schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["measurements"] = tuple(
            Measurement(m["workload"], m["measure"], m["unit"], m["ours"], m["torch"]) for m in data["measurements"]
        )
        result = Result(**data)
    except (ValueError, TypeError, KeyError) as problem:
        raise FormatError(f"not a benchmark result: {problem}", where=path) from problem
    if result.schema != SCHEMA:
        raise FormatError(f"benchmark schema {result.schema}; this version reads schema {SCHEMA}", where=path)
    return result


def compare(new: Path, old: Path) -> list[dict[str, Any]]:
    """Return what two results have in common, side by side; a ratio above 1 means that `new` needs less.

    Raises: FormatError if they have nothing in common.
    """
    before = {(m.workload, m.measure): m for m in read(old).measurements}
    rows = []
    for m in read(new).measurements:
        earlier = before.get((m.workload, m.measure))
        if earlier and m.ours and earlier.ours:
            row = {"workload": m.workload, "measure": m.measure, "new": _figure(m.ours, m.unit)}
            rows.append({**row, "old": _figure(earlier.ours, m.unit), "ratio": round(earlier.ours / m.ours, 3)})
    if not rows:
        raise FormatError(f"nothing was measured in both {new} and {old}")
    return rows


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "bytes":
        return size_text(value)
    return f"{number_text(value, 3)} {unit}".strip()
