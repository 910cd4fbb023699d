"""Replayed functions: traced once for each set of shapes, with the numbers of the function itself."""

import threading

import mlx.core as mx
import pytest

from pytorch_to_mlx.backend import native, ops
from pytorch_to_mlx.backend.replay import is_compiling, replay

needs_kernels = pytest.mark.skipif(native.kernels() is None, reason="without kernels the function itself is returned")


def step(x: mx.array, state: dict[str, mx.array]) -> tuple[mx.array, dict[str, mx.array]]:
    """Elementwise operations in a row, which mx.compile would fuse, and two of our own."""
    y = ops.leaky_relu(mx.tanh(x) * 2 + state["sum"], 0.1)
    return ops.softmax(y), {"sum": mx.exp(y) - y}


def test_same_numbers_without_tracing_again():
    calls = []
    replayed = replay(lambda x, state: calls.append(x.shape) or step(x, state))
    mx.random.seed(0)
    for size in (3, 3, 5, 3, 5):
        x, state = mx.random.normal((2, size)), {"sum": mx.random.normal((2, size))}
        (y, after), (expected, expected_after) = replayed(x, state), step(x, state)
        assert mx.array_equal(y, expected) and mx.array_equal(after["sum"], expected_after["sum"])
    if native.kernels() is not None:
        assert calls == [(2, 3), (2, 5)]


@needs_kernels
def test_runs_without_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")  # MLX would start g++ to fuse
    x = mx.random.normal((2, 7))
    mx.eval(replay(step)(x, {"sum": x}))


@needs_kernels
def test_each_thread_traces_for_itself():
    replayed, x = replay(step), mx.array([[1.0, 2.0]])
    results = [replayed(x, {"sum": x})[0].tolist()]
    thread = threading.Thread(target=lambda: results.append(replayed(x, {"sum": x})[0].tolist()))
    thread.start()
    thread.join()
    assert results[0] == results[1]


def test_a_replayed_function_in_another():
    inner = replay(step)
    outer = replay(lambda x: inner(mx.tanh(x) + 1, {"sum": x}))
    x = mx.array([[1.0, 2.0]])
    assert mx.array_equal(outer(x)[0], step(mx.tanh(x) + 1, {"sum": x})[0])


def test_leaves_the_switch_of_mx_compile_as_it_is():
    mx.disable_compile()
    try:
        calls = []
        replayed = replay(lambda x: calls.append(x) or x + 1)
        for _ in range(3):
            mx.eval(replayed(mx.array(1)))
        assert not is_compiling() and len(calls) == 3
    finally:
        mx.enable_compile()
    replay(lambda x: x + 1)(mx.array(1))
    assert is_compiling()


def test_an_error_is_the_functions_own():
    def broken(x: mx.array) -> mx.array:
        raise ValueError("not here")

    with pytest.raises(ValueError, match="not here"):
        replay(broken)(mx.array(1))
    assert is_compiling()
