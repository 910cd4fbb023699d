"""Free memory goes back to the system, and what is in use stays."""

import ctypes
import subprocess
import sys

import mlx.core as mx
import pytest

from pytorch_to_mlx.backend import memory


def test_mlx_keeps_no_free_memory():
    in_use = mx.arange(1000) + 1
    mx.eval(in_use, mx.zeros(1 << 22) + 1)
    memory.release_cached_memory()
    assert mx.get_cache_memory() == 0
    assert in_use.sum().item() == 500_500


HOLES = """
from pathlib import Path
import ctypes
import mlx.core
from pytorch_to_mlx.backend import memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
blocks = [ctypes.create_string_buffer(b"x", 60_000) for _ in range(4000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
last = blocks[-1]
del blocks, block
before = resident()
memory.release_cached_memory()
print(before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc_trim is glibc's")
def test_malloc_gives_the_holes_back():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("malloc_trim is glibc's")
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100_000_000, "240 MB were freed, below one block that is in use"
