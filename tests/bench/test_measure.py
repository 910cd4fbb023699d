"""Sides are called interleaved, iterators give the first item's time, and lazy results are computed."""

import time

import mlx.core as mx
import numpy as np

from pytorch_to_mlx.bench.measure import measure_interleaved, measure_once


def test_sides_are_interleaved():
    calls = []
    timings = measure_interleaved({"ours": lambda: calls.append("o"), "torch": lambda: calls.append("t")}, runs=3)
    assert "".join(calls) == "ot" + "ot" + "to" + "ot"
    assert timings["ours"].runs == 3 and timings["ours"].first_s is None


def test_iterator_gives_the_first_item():
    def pieces():
        for _ in range(3):
            time.sleep(0.02)
            yield np.zeros(3)

    wall, cpu, first = measure_once(pieces)
    assert 0.02 <= first < 0.05 <= wall and cpu < wall


def test_lazy_results_are_computed():
    x = mx.random.normal((500, 500))
    mx.eval(x)

    def chain():
        y = x
        for _ in range(30):
            y = y @ x
        return y

    lazy = chain()
    wall, _, _ = measure_once(chain)
    start = time.perf_counter()
    mx.eval(lazy)
    assert wall > 0.3 * (time.perf_counter() - start)
