"""The BLAS under MLX: chosen before mlx.core is imported, fast, and told apart from the reference BLAS."""

import subprocess
import sys

import pytest

from pytorch_to_mlx.backend import blas

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MLX on macOS brings its own BLAS")


def python(code: str, **environment: str) -> str:
    import os

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@linux
def test_nothing_is_opened_until_mlx_is_imported():
    out = python("import sys, pytorch_to_mlx.backend; print('mlx.core' in sys.modules, 'ctypes' in sys.modules)")
    assert out.split()[0] == "False"
    maps = "print(any('openblas' in l or 'mkl' in l or 'torch' in l for l in open('/proc/self/maps')))"
    assert python(f"import pytorch_to_mlx.backend; {maps}") == "False"


@linux
def test_a_fast_blas_is_under_mlx():
    out = python(
        "import pytorch_to_mlx.backend as b, mlx.core as mx\n"
        "machine = b.describe()\n"
        "print(machine.blas, '|', machine.gflops)"
    )
    name, _, gflops = out.partition("|")
    assert blas.REFERENCE not in name, "this machine has no fast BLAS: pip install ./csrc"
    assert float(gflops) > 10, "a reference BLAS does 1 to 4 GFLOP/s"


@linux
def test_the_result_is_right():
    out = python(
        "import pytorch_to_mlx.backend, mlx.core as mx, numpy as np\n"
        "worst = 0\n"
        "for m, n, k in [(1, 5, 7), (1, 1000, 333), (33, 65, 17), (300, 200, 100), (1, 1, 1), (257, 511, 129)]:\n"
        "    a, b = np.random.randn(m, k).astype('f4'), np.random.randn(k, n).astype('f4')\n"
        "    want = a.astype('f8') @ b.astype('f8')\n"
        "    for A, B in [(mx.array(a), mx.array(b)), (mx.array(a.T.copy()).T, mx.array(b)),\n"
        "                 (mx.array(a), mx.array(b.T.copy()).T), (mx.array(a.T.copy()).T, mx.array(b.T.copy()).T)]:\n"
        "        worst = max(worst, np.abs(np.array(A @ B) - want).max() / np.sqrt(k))\n"
        "        worst = max(worst, np.abs(np.array(mx.addmm(mx.ones((n,)), A, B)) - want - 1).max() / np.sqrt(k))\n"
        "c = (np.random.randn(40, 30) + 1j * np.random.randn(40, 30)).astype('c8')\n"
        "worst = max(worst, np.abs(np.array(mx.array(c) @ mx.array(c.T)) - c @ c.T).max() / 10)\n"
        "print(worst)"
    )
    assert float(out) < 1e-5


@linux
def test_off_leaves_mlx_alone_and_is_named_a_problem():
    out = python(
        "import pytorch_to_mlx.backend as b; m = b.describe(measure=False); print(m.blas, m.problems)",
        PYTORCH_TO_MLX_BLAS="off",
    )
    assert out.startswith(blas.REFERENCE) and "PYTORCH_TO_MLX_BLAS=off" in out


@linux
def test_a_path_that_is_no_blas_is_named():
    out = python(
        "from pytorch_to_mlx.backend import blas; print(blas.choose().problem)", PYTORCH_TO_MLX_BLAS="libm.so.6"
    )
    assert "no cblas_sgemm" in out
    out = python(
        "from pytorch_to_mlx.backend import blas; print(blas.choose().problem)", PYTORCH_TO_MLX_BLAS="/nowhere"
    )
    assert "/nowhere" in out


@linux
def test_too_late_is_said():
    out = python("import mlx.core, pytorch_to_mlx.backend as b; print(b.describe(measure=False).problems)")
    assert "imported before" in out
