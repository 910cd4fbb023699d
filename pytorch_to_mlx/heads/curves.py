"""Draw how a training went: the loss, and the score on the development part."""

from collections.abc import Sequence
from pathlib import Path

from ..outputs import write_figure
from .train import Epoch


def plot_curves(epochs: Sequence[Epoch], best: int, path: Path, title: str) -> None:
    """Write a picture (.svg, .png, .pdf). Raises: what `outputs.write_figure` raises."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="loss", title=title)
    numbers = [epoch.number for epoch in epochs]
    axes.plot(numbers, [epoch.loss for epoch in epochs], color="#1f6feb", marker=".", label="loss, training")
    scores = axes.twinx()
    scores.set_ylabel("score")
    scores.plot(numbers, [epoch.score for epoch in epochs], color="#cf222e", marker=".", label="score, development")
    scores.axvline(best, color="0.7", linestyle="--", linewidth=1, label=f"best: {epochs[best - 1].score:.3f}")
    lines = [*axes.get_lines(), *scores.get_lines()]
    figure.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="outside lower center", ncols=3)
    write_figure(figure, path, metadata={"Date": None} if path.suffix == ".svg" else None)
