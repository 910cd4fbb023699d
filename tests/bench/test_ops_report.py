"""The result of `benchmark ops`: one line for each op, and how many rows reach PyTorch or their floor."""

from pytorch_to_mlx.bench import Measurement
from pytorch_to_mlx.bench.ops_report import KERNEL, MEMORY, MLX, OpsResult


def test_one_line_for_each_op():
    figures = [
        Measurement("gelu", KERNEL, "ms", 1.0, 2.0),
        Measurement("gelu", MLX, "ms", 4.0, 2.0),
        Measurement("gelu", MEMORY, "ms", 0.5),
        Measurement("exp", KERNEL, "ms", 3.0, 2.0),
        Measurement("exp", MLX, "ms", 4.0, 2.0),
        Measurement("exp", MEMORY, "ms", 0.5),
    ]
    result = OpsResult("ops", "none", "x", tuple(figures), runs=0, threads={})
    gelu, exp = result.rows()
    assert (gelu["op"], gelu["kernel ms"], gelu["PyTorch / kernel"], gelu["kernel / floor"]) == (
        "gelu",
        "1",
        "2.00",
        "2.00",
    )
    assert exp["PyTorch / kernel"] == "0.67" and exp["bound by"] == "memory"
    assert result.summary().splitlines()[-1].startswith("1 of 2 rows take no longer than PyTorch")
