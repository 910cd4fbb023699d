"""Report what long work is doing to a listener, if there is one; the command line shows it on stderr."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """What shows the progress: `note` prints a line, `track` draws a bar while it passes the items on.

    on_terminal: somebody watches. `measure` gives what is called with the seconds of audio that are done.
    """

    @property
    def on_terminal(self) -> bool: ...
    def note(self, text: str) -> None: ...
    def track(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]: ...
    def measure(self, what: str, total_s: float) -> AbstractContextManager[Callable[[float], None]]: ...


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
def measure(what: str, total_s: float) -> Iterator[Callable[[float], None]]:
    """Show how much of `total_s` seconds of audio is done, as often as the block calls what it is given."""
    listener = _listener.get()
    if listener is None:
        yield lambda position_s: None
        return
    with listener.measure(what, total_s) as move_to:
        yield move_to


def is_watched() -> bool:
    """Tell whether somebody watches the progress on a terminal."""
    listener = _listener.get()
    return listener is not None and listener.on_terminal


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Send the progress of everything inside the block to `listener`; None hears nothing."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
