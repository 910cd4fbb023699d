"""Replay what a function does to arrays, without Python: for steps whose calls cost more than their arithmetic."""

from collections.abc import Callable
from functools import wraps
from threading import local
from typing import ParamSpec, TypeVar

import mlx.core as mx

from ..taps import taps_are_watched
from .dtype import on_cpu
from .native import kernels

P = ParamSpec("P")
R = TypeVar("R")


def replay(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that traces `function` for each set of shapes once, and replays the graph from then on.

    `function` takes and returns arrays, also in tuples, lists and dictionaries, and must not evaluate them. Arrays that
    it uses without taking them, such as weights, stay those of the first call.

    On a GPU this is mx.compile. On the CPU that would fuse operations with a C++ compiler at run time: the kernels keep
    it from fusing; without them, and while taps are watched, `function` itself is called.
    """
    cpu = kernels()
    if on_cpu() and cpu is None:
        return function
    here = local()

    @mx.compile
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        result = function(*args, **kwargs)
        if cpu is not None and is_compiling():
            cpu.set_fusion(False)  # MLX fuses when this function has returned
            here.traced = True
        return result

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if taps_are_watched():
            return function(*args, **kwargs)
        here.traced = False
        try:
            return traced(*args, **kwargs)
        finally:
            if cpu is not None and here.traced:
                cpu.set_fusion(True)

    return run


def is_compiling() -> bool:
    """Return whether mx.compile is on in this process; MLX has no function that says so."""
    calls = []
    probe = mx.compile(lambda x: calls.append(x) or x)
    for _ in range(2):
        probe(mx.array(0))
    return len(calls) == 1
