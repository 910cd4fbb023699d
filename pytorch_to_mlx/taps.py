"""Named intermediate values of a model, recorded only while somebody compares them with a reference."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_recording: ContextVar[dict[str, object] | None] = ContextVar("taps", default=None)


def tap(name: str, value: T) -> T:
    """Return `value` unchanged; while `record_taps` is active, also keep it under `name` (the last one wins)."""
    record = _recording.get()
    if record is not None:
        record[name] = value
    return value


@contextmanager
def record_taps() -> Iterator[dict[str, object]]:
    """Collect every `tap` inside the block into the dictionary that is yielded."""
    record: dict[str, object] = {}
    token = _recording.set(record)
    try:
        yield record
    finally:
        _recording.reset(token)
