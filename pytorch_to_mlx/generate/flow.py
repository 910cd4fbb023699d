"""Solvers for flow matching: along a velocity field from noise at t = 0 to data at t = 1."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import mlx.core as mx
import numpy as np

from ..errors import CheckError
from ..taps import tap

# (x, t, number of the evaluation) -> dx/dt, of x's shape.
Velocity: TypeAlias = Callable[[mx.array, float, int], mx.array]

EVALUATIONS = {"euler": 1, "midpoint": 2}
"""Evaluations of the velocity in each step of the solvers with fixed steps."""

MAX_ATTEMPTS = 10_000
# Dormand & Prince 1980, table 2: the times, the weights of the earlier slopes, and the error's weights.
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
    """steps + 1 times from 0 to 1, close together at first: 1 - cos(π/2 · i/steps), in float32.

    Source: Du et al. 2024, "CosyVoice", section 2.3.
    """
    uniform = np.linspace(0, 1, steps + 1, dtype=np.float32)
    angle = uniform * np.float32(0.5) * np.float32(np.pi)
    return [float(t) for t in np.float32(1) - np.cos(angle.astype(np.float64)).astype(np.float32)]


def guide(conditional: mx.array, unconditional: mx.array, rate: float) -> mx.array:
    """Classifier-free guidance: (1 + rate) · v_c - rate · v_u. Source: Ho & Salimans 2022, eq. 6."""
    return (1 + rate) * conditional - rate * unconditional


def solve(velocity: Velocity, x: mx.array, times: Sequence[float], method: str = "euler") -> mx.array:
    """x at times[-1] from x at times[0], by 'euler' or 'midpoint' over `times`, or adaptively by 'rk45'."""
    if method == "rk45":
        return runge_kutta45(velocity, x, times[0], times[-1])
    return {"euler": euler, "midpoint": midpoint}[method](velocity, x, times)


def euler(velocity: Velocity, x: mx.array, times: Sequence[float]) -> mx.array:
    """x ← x + dt · v(x, t). Times are added up in float32, as the reference does."""
    t, dt = np.float32(times[0]), np.float32(times[1]) - np.float32(times[0])
    for step in range(len(times) - 1):
        x = x + float(dt) * velocity(x, float(t), step)
        mx.eval(tap(f"step {step + 1}", x))
        t = t + dt
        if step + 2 < len(times):
            dt = np.float32(times[step + 2]) - t
    return x


def midpoint(velocity: Velocity, x: mx.array, times: Sequence[float]) -> mx.array:
    """x ← x + dt · v(x + dt/2 · v(x, t), t + dt/2): second order, two evaluations a step."""
    for step, (t, end) in enumerate(pairwise(times)):
        dt = end - t
        middle = x + dt / 2 * velocity(x, t, 2 * step)
        x = x + dt * velocity(middle, t + dt / 2, 2 * step + 1)
        mx.eval(x)
    return x


def runge_kutta45(
    velocity: Velocity, x: mx.array, t: float, end: float, *, rtol: float = 1e-4, atol: float = 1e-5
) -> mx.array:
    """Adaptive steps of fifth order, each as long as its error's estimate allows.

    Raises: CheckError if the velocity is so rough, or not finite, that MAX_ATTEMPTS steps do not reach `end`.
    Source: Dormand & Prince 1980; the control of the step: Hairer, Nørsett & Wanner 1993, section II.4.
    """
    dt, count = (end - t) / 100, 1
    first = velocity(x, t, 0)
    for _ in range(MAX_ATTEMPTS):
        dt = min(dt, end - t)
        slopes, y = [first], x
        for fraction, weights in zip(_TIMES[1:], _SLOPES[1:], strict=True):
            y = x + dt * _sum(weights, slopes)
            slopes.append(velocity(y, t + fraction * dt, count))
            count += 1
        scale = atol + rtol * mx.maximum(mx.abs(x), mx.abs(y))
        error = float(mx.sqrt(mx.mean(mx.square(dt * _sum(_ERROR, slopes) / scale))))
        if error <= 1:
            t, x, first = t + dt, y, slopes[-1]
            if t >= end - 1e-9:
                return x
        dt *= min(5.0, max(0.2, 0.9 * error**-0.2)) if error > 0 else 5.0
    raise CheckError(f"the solver stopped at t = {t:.3g} after {MAX_ATTEMPTS} steps; the velocity is not smooth")


def _sum(weights: Sequence[float], arrays: list[mx.array]) -> mx.array:
    terms = [weight * array for weight, array in zip(weights, arrays, strict=True) if weight]
    return sum(terms[1:], terms[0])
