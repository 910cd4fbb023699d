"""`benchmark ops` on one small op: kernel, MLX, PyTorch and the floor."""

import mlx.core as mx

from pytorch_to_mlx.backend import native
from pytorch_to_mlx.bench import ops
from pytorch_to_mlx.bench.ops_report import ARITHMETIC, KERNEL, MEMORY, MLX


def test_every_side_of_an_op_is_measured():
    result = ops.run(seconds=0.01, names="rms_norm 1x896")
    sides = [m.measure for m in result.measurements]
    assert sides[:-1] == ([KERNEL] if native.kernels() else []) + [MLX] and sides[-1] in (MEMORY, ARITHMETIC)
    assert all(m.ours > 0 and (m.torch is None) == (m.measure == sides[-1]) for m in result.measurements)
    (row,) = result.rows()
    assert row["op"] == "rms_norm 1x896"


def test_small_results_share_one_evaluation():
    assert ops._repeats(mx.zeros((4,))) == 16
    assert ops._repeats([mx.zeros((2**19,)), mx.zeros((2**19,))]) == 2
    assert ops._repeats(mx.zeros((2**24,))) == 1
