"""Split the time of a call of ours by stage (the model's taps) or by op (the functions of backend.ops)."""

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..taps import watch_taps
from .measure import measure_once

REST = "(rest)"


def seconds_by_stage(call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds from one tap to the next; `(rest)` is what follows the last.

    Every tap is evaluated as soon as it is reached, so that lazy work counts for its own stage.
    """
    import mlx.core as mx

    seconds: dict[str, float] = defaultdict(float)
    last = 0.0

    def stop_stage(name: str, value: object) -> None:
        nonlocal last
        mx.eval(value)
        now = time.perf_counter()
        seconds[name] += now - last
        last = now

    with _uncompiled(), watch_taps(stop_stage):
        last = start = time.perf_counter()
        measure_once(call)
        end = time.perf_counter()
    return {**seconds, REST: end - start - sum(seconds.values())}


def seconds_by_op(call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds inside each function of backend.ops, largest first; `(rest)` is everything between them.

    Arguments and results are evaluated at each call, and a function that calls another counts as a whole.
    """
    import mlx.core as mx

    from ..backend import ops

    seconds: dict[str, float] = defaultdict(float)
    inside = False

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **values: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*args, **values)
            mx.eval(args, values)
            inside, start = True, time.perf_counter()
            try:
                result = function(*args, **values)
                mx.eval(result)
            finally:
                inside = False
                seconds[name] += time.perf_counter() - start
            return result

        return run

    functions = {n: f for n, f in inspect.getmembers(ops, inspect.isfunction) if not n.startswith("_")}
    try:
        for name, function in functions.items():
            setattr(ops, name, timed(name, function))
        with _uncompiled():
            wall, _, _ = measure_once(call)
    finally:
        for name, function in functions.items():
            setattr(ops, name, function)
    ordered = dict(sorted(seconds.items(), key=lambda item: -item[1]))
    return {**ordered, REST: wall - sum(seconds.values())}


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Switch mx.compile off: values inside a compiled function cannot be evaluated one at a time."""
    import mlx.core as mx

    mx.disable_compile()
    try:
        yield
    finally:
        mx.enable_compile()
