"""Stop work whose result nobody wants any more, at its next evaluation.

    with cancellable(client_left.is_set):
        translation = pipeline.translate(text)  # raises Cancelled soon after client_left is set

MLX cannot be interrupted while it evaluates, so the models look here between evaluations: `check_cancelled` before one,
`unless_cancelled` around a value where a model would else compute for seconds in one go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_is_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("cancel", default=None)


class Cancelled(Exception):
    """The work was stopped because its caller does not want the result any more."""


@contextmanager
def cancellable(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let `is_cancelled`, which may look at what another thread sets, stop the work inside the block.

    Raises: Cancelled inside the block, soon after `is_cancelled()` is true.
    """
    token = _is_cancelled.set(is_cancelled)
    try:
        yield
    finally:
        _is_cancelled.reset(token)


def check_cancelled() -> None:
    """Raise Cancelled if the result of this work is not wanted any more."""
    is_cancelled = _is_cancelled.get()
    if is_cancelled is not None and is_cancelled():
        raise Cancelled


def unless_cancelled(value: T) -> T:
    """Return arrays of MLX as they are; inside `cancellable` they are evaluated now, unless the work is cancelled."""
    if _is_cancelled.get() is not None:
        import mlx.core as mx

        check_cancelled()
        mx.eval(value)
    return value
