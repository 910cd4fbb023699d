"""Both sides take turns, iterators give the first item's time, and peak memory is this process's own."""

import subprocess
import sys
import time

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.bench import Measurement, Result, read, write
from pytorch_to_mlx.bench.machine import machine
from pytorch_to_mlx.bench.measure import alternate, once
from pytorch_to_mlx.bench.profile import REST, seconds_by_op, seconds_by_stage
from pytorch_to_mlx.bench.result import compare
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.taps import tap


def test_sides_take_turns():
    calls = []
    timings = alternate({"ours": lambda: calls.append("o"), "torch": lambda: calls.append("t")}, runs=3)
    assert "".join(calls) == "ot" + "ot" + "to" + "ot"
    assert timings["ours"].runs == 3 and timings["ours"].first_s is None


def test_iterator_gives_the_first_item():
    def pieces():
        for _ in range(3):
            time.sleep(0.02)
            yield np.zeros(3)

    wall, cpu, first = once(pieces)
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
    wall, _, _ = once(chain)
    start = time.perf_counter()
    mx.eval(lazy)
    assert wall > 0.3 * (time.perf_counter() - start)


def test_peak_memory_sees_a_large_array():
    """In a process of its own: this one may have had a higher peak before."""
    program = """
import numpy as np
from pytorch_to_mlx.bench.machine import peak_memory_bytes
before = peak_memory_bytes()
big = np.ones(50_000_000 // 8)
assert 30_000_000 < peak_memory_bytes() - before < 300_000_000
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def model():
    x = mx.ones((64, 64))
    x = tap("first", ops.linear(x, x))
    return tap("second", ops.softmax(x))


def test_profile_names_stages_and_ops():
    assert list(seconds_by_stage(model)) == ["first", "second", REST]
    before = ops.linear
    spent = seconds_by_op(model)
    assert {"linear", "softmax", REST} == spent.keys() and all(s >= 0 for s in spent.values())
    assert ops.linear is before


def result(**values):
    rows = (Measurement("short", "wall", "s", 1.0, 2.0), Measurement("fresh", "peak memory", "bytes", 1e9))
    return Result(
        **{"what": "toy", "weights": "none", "command": "x", "measurements": rows, "runs": 3} | {"threads": {}} | values
    )


def test_result_survives_the_file(tmp_path):
    path = tmp_path / "sub" / "toy.json"
    write(result(), path)
    assert read(path) == result(date=read(path).date, machine=read(path).machine)
    assert [m.ratio for m in read(path).measurements] == [2.0, None]
    assert {"processor", "cores", "memory_bytes", "system"} <= machine().keys()
    assert [p.name for p in path.parent.iterdir()] == ["toy.json"]


def test_two_results_side_by_side(tmp_path):
    write(result(), tmp_path / "a.json")
    write(result(measurements=(Measurement("short", "wall", "s", 4.0),)), tmp_path / "b.json")
    (row,) = compare(tmp_path / "a.json", tmp_path / "b.json")
    assert row["ratio"] == 4.0 and row["new"] == "1 s" and row["old"] == "4 s"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measurements": 3}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FormatError, match="no benchmark result"):
        read(path)
