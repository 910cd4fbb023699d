"""generate/flow.py against solutions in closed form, SciPy and PyTorch's schedule."""

import math
from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.generate.flow import cosine_schedule, euler, guide, midpoint, runge_kutta45, solve


@pytest.mark.parametrize("steps", [1, 4, 10, 32])
def test_schedule(steps):
    uniform = torch.linspace(0, 1, steps + 1)
    np.testing.assert_allclose(cosine_schedule(steps), 1 - torch.cos(uniform * 0.5 * torch.pi), rtol=0, atol=1.2e-7)
    assert cosine_schedule(steps)[0] == 0 and cosine_schedule(steps)[-1] == pytest.approx(1, abs=1e-7)


def pendulum(x, t, _):
    """Not linear, and it depends on time."""
    return mx.stack([x[1], -mx.sin(x[0]) + math.cos(3 * t)])


def exact():
    def slope(t, x):
        return [x[1], -math.sin(x[0]) + math.cos(3 * t)]

    return solve_ivp(slope, (0, 1), [1.0, 0.0], rtol=1e-12, atol=1e-12).y[:, -1]


@pytest.mark.parametrize(("method", "order"), [(euler, 1), (midpoint, 2)])
def test_order(method, order):
    """Twice the steps, 2^order times less error."""
    errors = []
    for steps in (8, 16, 32):
        times = [i / steps for i in range(steps + 1)]
        errors.append(np.abs(np.array(method(pendulum, mx.array([1.0, 0.0]), times)) - exact()).max())
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.15)


def test_euler_numbers_its_evaluations_and_adds_up_its_times():
    seen = []

    def velocity(x, t, number):
        seen.append((t, number))
        return mx.ones(1)

    times = cosine_schedule(5)
    assert solve(velocity, mx.zeros(1), times).item() == pytest.approx(1, abs=1e-6)
    assert [number for _, number in seen] == list(range(5))
    np.testing.assert_allclose([t for t, _ in seen], times[:-1], rtol=0, atol=1e-6)


def test_runge_kutta():
    for tolerance in (1e-3, 1e-5):
        got = runge_kutta45(pendulum, mx.array([1.0, 0.0]), 0, 1, rtol=tolerance, atol=tolerance / 10)
        np.testing.assert_allclose(np.array(got), exact(), rtol=0, atol=2 * tolerance)
    evaluations = []
    runge_kutta45(lambda x, t, number: (evaluations.append(t), mx.ones(2))[1], mx.zeros(2), 0, 1)
    assert len(evaluations) < 40, "a straight line needs few steps"


def test_runge_kutta_gives_up():
    with pytest.raises(CheckError, match="the velocity is not smooth"):
        runge_kutta45(lambda x, t, _: x * math.nan, mx.ones(1), 0, 1)


def test_guide():
    assert guide(mx.array(3.0), mx.array(1.0), 0.7).item() == pytest.approx(1.7 * 3 - 0.7)
