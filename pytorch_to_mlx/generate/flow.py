"""Solvers for flow matching: they follow a velocity field from noise at t = 0 to data at t = 1."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import mlx.core as mx
import numpy as np

from ..cancel import check_cancelled
from ..errors import CheckError
from ..taps import tap

# (x, t, index of the evaluation) -> dx/dt, of x's shape.
Velocity: TypeAlias = Callable[[mx.array, float, int], mx.array]

EVALUATIONS = {"euler": 1, "midpoint": 2}  # of the velocity in each step, for the solvers with fixed steps

MAX_ATTEMPTS = 10_000  # steps of the adaptive solver, those that it rejects included
# Dormand & Prince 1980, table 2: the times, the weights of the earlier slopes, and the weights of the error estimate.
_TIMES = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
_SLOPES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def cosine_schedule(steps: int) -> list[float]:
    """Return steps + 1 times from 0 to 1, close together at first: 1 - cos(π/2 · i/steps), in float32.

    Source: Du et al. 2024, "CosyVoice", section 2.3.
    """
    uniform = np.linspace(0, 1, steps + 1, dtype=np.float32)
    angle = uniform * np.float32(0.5) * np.float32(np.pi)
    return [float(t) for t in np.float32(1) - np.cos(angle.astype(np.float64)).astype(np.float32)]


def guide(conditional: mx.array, unconditional: mx.array, rate: float) -> mx.array:
    """Apply classifier-free guidance: (1 + rate) · conditional - rate · unconditional.

    Shapes: both alike -> the same. Source: Ho & Salimans 2022, eq. 6.
    """
    return (1 + rate) * conditional - rate * unconditional


def solve(velocity: Velocity, x: mx.array, times: Sequence[float], method: str = "euler") -> mx.array:
    """Solve from x at times[0] to x at times[-1], with 'euler' or 'midpoint' steps over `times`, or 'rk45', adaptively.

    Shapes: x, any -> the same.
    """
    if method == "rk45":
        return runge_kutta45(velocity, x, times[0], times[-1])
    return {"euler": euler, "midpoint": midpoint}[method](velocity, x, times)


def euler(velocity: Velocity, x: mx.array, times: Sequence[float]) -> mx.array:
    """Solve by Euler's method, x ← x + dt · v(x, t); times are summed in float32, as the reference does.

    Shapes: x, any -> the same.
    Source: Lipman et al. 2023, "Flow Matching"; CosyVoice, cosyvoice/flow/flow_matching.py `solve_euler`.
    """
    t, dt = np.float32(times[0]), np.float32(times[1]) - np.float32(times[0])
    for step in range(len(times) - 1):
        check_cancelled()
        x = x + float(dt) * velocity(x, float(t), step)
        mx.eval(tap(f"step {step + 1}", x))
        t = t + dt
        if step + 2 < len(times):
            dt = np.float32(times[step + 2]) - t
    return x


def midpoint(velocity: Velocity, x: mx.array, times: Sequence[float]) -> mx.array:
    """Solve by the midpoint method, x ← x + dt · v(x + dt/2 · v(x, t), t + dt/2): second order, two evaluations a step.

    Shapes: x, any -> the same. Source: Hairer, Nørsett & Wanner 1993, section II.1.
    """
    for step, (t, end) in enumerate(pairwise(times)):
        check_cancelled()
        dt = end - t
        middle = x + dt / 2 * velocity(x, t, 2 * step)
        x = x + dt * velocity(middle, t + dt / 2, 2 * step + 1)
        mx.eval(x)
    return x


def runge_kutta45(
    velocity: Velocity, x: mx.array, t: float, end: float, *, rtol: float = 1e-4, atol: float = 1e-5
) -> mx.array:
    """Solve by adaptive steps of fifth order, each as long as its error estimate allows.

    Shapes: x, any -> the same.
    Raises: CheckError if the velocity is so rough, or not finite, that MAX_ATTEMPTS steps do not reach `end`.
    Source: Dormand & Prince 1980; step size control: Hairer, Nørsett & Wanner 1993, section II.4.
    """
    dt, n_evaluations = (end - t) / 100, 1
    first_slope = velocity(x, t, 0)
    for _ in range(MAX_ATTEMPTS):
        check_cancelled()
        dt = min(dt, end - t)
        slopes, y = [first_slope], x
        for fraction, weights in zip(_TIMES[1:], _SLOPES[1:], strict=True):
            y = x + dt * _weighted_sum(weights, slopes)
            slopes.append(velocity(y, t + fraction * dt, n_evaluations))
            n_evaluations += 1
        scale = atol + rtol * mx.maximum(mx.abs(x), mx.abs(y))
        error = float(mx.sqrt(mx.mean(mx.square(dt * _weighted_sum(_ERROR, slopes) / scale))))
        if error <= 1:
            t, x, first_slope = t + dt, y, slopes[-1]  # its last slope is that at the new point
            if t >= end - 1e-9:
                return x
        dt *= min(5.0, max(0.2, 0.9 * error**-0.2)) if error > 0 else 5.0
    raise CheckError(f"the solver stopped at t = {t:.3g} after {MAX_ATTEMPTS} steps; the velocity is not smooth")


def _weighted_sum(weights: Sequence[float], arrays: list[mx.array]) -> mx.array:
    terms = [weight * array for weight, array in zip(weights, arrays, strict=True) if weight]
    return sum(terms[1:], terms[0])
