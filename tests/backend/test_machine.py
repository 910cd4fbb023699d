"""What doctor shows about the machine."""

import mlx.core as mx
import pytest

from pytorch_to_mlx import backend
from pytorch_to_mlx.backend import machine, native


def test_describe():
    described = backend.describe()
    assert described.mlx_version == mx.__version__
    assert described.gflops and described.gflops > 0.1
    assert described.threads >= 1


def test_describe_without_a_measurement():
    assert backend.describe(measure=False).gflops is None


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("the package pytorch-to-mlx-cpu is not installed", "pip install ./csrc"),
        ("PYTORCH_TO_MLX_NATIVE=0", "unset PYTORCH_TO_MLX_NATIVE"),
    ],
)
def test_missing_kernels_are_a_problem_with_a_fix(monkeypatch, reason, fix):
    monkeypatch.setattr(native, "load", lambda: (None, reason))
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    problem, command = machine.slow_parts()[-1]
    assert reason in problem and "2 to 80 times slower" in problem and command == fix
    assert machine.describe(measure=False).problems[-1] == (problem, command)
