"""The machine as a result describes it, and peak memory of this process alone."""

import os
import subprocess
import sys

from pytorch_to_mlx.bench.machine import cores, machine


def test_the_machine_is_described():
    described = machine()
    assert described["cores"] == cores() <= os.cpu_count()
    assert described["memory_bytes"] > 2**28 and described["processor"] and described["system"]


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
