"""Report what long work is doing to a listener, if there is one; the command line shows it on stderr."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """What shows the progress: `note` prints a line, `track` draws a bar while it passes the items on."""

    def note(self, text: str) -> None: ...
    def track(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]: ...


_listener: ContextVar[Listener | None] = ContextVar("progress", default=None)


def note(text: str) -> None:
    """Report in one line what happens next, as in `note("reading kokoro-v1_0.pth")`."""
    listener = _listener.get()
    if listener is not None:
        listener.note(text)


def track(items: Iterable[T], what: str, total: int | None = None) -> Generator[T, None, None]:
    """Iterate over `items` while a progress bar named `what` advances; `total` is their number, if known."""
    listener = _listener.get()
    yield from items if listener is None else listener.track(items, what, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the progress of everything inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
