"""What a user sees of long work, on stderr: notes as lines, and bars where stderr is a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

from .output import printable

T = TypeVar("T")
SECONDS_PER_LINE = 30  # of progress, where a bar cannot be drawn


class ProgressBar:
    """The listener of the command line."""

    @property
    def on_terminal(self) -> bool:
        """Tell whether stderr is a terminal."""
        return sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Print a line."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def track(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        """Pass the items on, and count them in a bar."""
        if not self.on_terminal:
            self.note(what)
            yield from items
            return
        with _bar() as bar:
            yield from bar.track(items, total, description=printable(what))

    @contextmanager
    def measure(self, what: str, total_s: float) -> Iterator[Callable[[float], None]]:
        """Show how many seconds of audio are done, and how long the rest will take: in a bar, or a line now and then.

        The estimate goes by the work so far, so it is there after the first part of it.
        """
        start = line_at = monotonic()

        def text(position_s: float) -> str:
            rest_s = round((monotonic() - start) * (total_s - position_s) / position_s)
            return f"{position_s:.0f} of {total_s:.0f} s of audio, ETA {timedelta(seconds=max(rest_s, 0))}"

        def write_line(position_s: float) -> None:
            nonlocal line_at
            if position_s > 0 and monotonic() - line_at >= SECONDS_PER_LINE:
                line_at = monotonic()
                self.note(f"{what}: {text(position_s)}")

        if not self.on_terminal:
            yield write_line
            return
        with _bar("{task.fields[text]}") as bar:
            task = bar.add_task(printable(what), total=total_s, text=f"{total_s:.0f} s of audio")

            def draw(position_s: float) -> None:
                if position_s > 0:
                    bar.update(task, completed=position_s, text=text(position_s), refresh=True)

            yield draw


def _bar(text: str = "") -> Any:
    """Return a bar of rich. It takes stdout over only where that is the terminal too: a file would stay empty."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(text),) if text else (TaskProgressColumn(), TimeRemainingColumn())
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
