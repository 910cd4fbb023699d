"""Named intermediate values of a model, recorded only while somebody compares them with a reference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_watcher: ContextVar[Callable[[str, object], None] | None] = ContextVar("taps", default=None)


def tap(name: str, value: T) -> T:
    """Return `value` unchanged, after handing it to the watcher under `name`, if there is one."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(name, value)
    return value


def taps_are_watched() -> bool:
    """Return whether somebody watches: then values are needed, and a function must not be replayed."""
    return _watcher.get() is not None


@contextmanager
def watch_taps(watcher: Callable[[str, object], None]) -> Iterator[None]:
    """Call `watcher(name, value)` at every `tap` inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def record_taps() -> Iterator[dict[str, object]]:
    """Yield a dictionary that collects every `tap` inside the block; the last value of a name wins."""
    record: dict[str, object] = {}
    with watch_taps(record.__setitem__):
        yield record
