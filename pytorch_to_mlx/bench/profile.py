"""Where our time goes: by stage (the model's taps) and by op (the functions of backend.ops)."""

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..taps import watch_taps
from .measure import once

REST = "(rest)"


def seconds_by_stage(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds from one tap to the next; `(rest)` is what follows the last. Every tap is computed when it is met."""
    import mlx.core as mx

    spent: dict[str, float] = defaultdict(float)
    last = 0.0

    def met(name: str, value: object) -> None:
        nonlocal last
        mx.eval(value)
        now = time.perf_counter()
        spent[name] += now - last
        last = now

    with _uncompiled(), watch_taps(met):
        last = start = time.perf_counter()
        once(call)
        end = time.perf_counter()
    return {**spent, REST: end - start - sum(spent.values())}


def seconds_by_op(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds inside each function of backend.ops, one at a time; `(rest)` is everything between them."""
    import mlx.core as mx

    from ..backend import ops

    spent: dict[str, float] = defaultdict(float)
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
                spent[name] += time.perf_counter() - start
            return result

        return run

    functions = {n: f for n, f in inspect.getmembers(ops, inspect.isfunction) if not n.startswith("_")}
    try:
        for name, function in functions.items():
            setattr(ops, name, timed(name, function))
        with _uncompiled():
            wall, _, _ = once(call)
    finally:
        for name, function in functions.items():
            setattr(ops, name, function)
    ordered = dict(sorted(spent.items(), key=lambda item: -item[1]))
    return {**ordered, REST: wall - sum(spent.values())}


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Values inside a compiled function cannot be computed one at a time."""
    import mlx.core as mx

    mx.disable_compile()
    try:
        yield
    finally:
        mx.enable_compile()
