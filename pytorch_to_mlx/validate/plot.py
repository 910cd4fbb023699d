"""Draw a validation: the error of every tap beside PyTorch's own in float32, and what is allowed."""

from pathlib import Path

from ..errors import MissingExtraError
from ..outputs import write_figure
from ..tolerances import RELATIVE, allowed_error
from ..units import count_text
from .report import Report

SMALLEST = 1e-9  # errors under it, zero too, are drawn there


def plot(report: Report, path: Path) -> None:
    """Write a picture (.svg, .png, .pdf) with the worst result of each tap, in the order of computation.

    Taps that must be equal, and those with limits of their own, have no mark for the limit.
    Raises: MissingExtraError without matplotlib; UsageError for a file that cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "plot", needed_for="--plot") from error
    taps = list(report.worst().values())
    places = range(len(taps), 0, -1)  # the first at the top
    figure = Figure(figsize=(7, 0.8 + 0.24 * len(taps)), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="relative error against float64 PyTorch")
    for place, tap in zip(places, taps, strict=True):
        axes.plot([SMALLEST, max(tap.relative, SMALLEST)], [place, place], color="0.85", linewidth=1, zorder=1)
    own = [(tap.torch_relative, place) for tap, place in zip(taps, places, strict=True) if tap.torch_relative]
    allowed = [
        (allowed_error(tap.tolerance, tap.torch_relative), place)
        for tap, place in zip(taps, places, strict=True)
        if tap.torch_relative is not None and tap.tolerance in RELATIVE
    ]
    axes.scatter([max(tap.relative, SMALLEST) for tap in taps], places, s=28, color="#1f6feb", label="MLX", zorder=3)
    if own:
        x, y = zip(*own, strict=True)
        axes.scatter(x, y, s=28, facecolors="none", edgecolors="0.3", label="PyTorch float32", zorder=2)
    if allowed:
        x, y = zip(*allowed, strict=True)
        axes.scatter(x, y, marker="|", s=90, color="#cf222e", label="limit", zorder=2)
    axes.set_yticks(list(places), [tap.name + ("" if tap.passed else " FAIL") for tap in taps])
    cases = count_text(len(report.cases), "case")
    axes.set_title(f"{report.family}: {cases}, {'pass' if report.passed else 'FAIL'}", fontsize=10)
    axes.grid(axis="x", color="0.93")
    axes.legend(loc="upper right", fontsize=8)
    write_figure(figure, path, metadata={"Date": None} if path.suffix == ".svg" else None)
