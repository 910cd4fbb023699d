"""The times at which the velocity of the mel is computed.

Source: SWivid/F5-TTS@2ae2c9b, f5_tts/model/utils.py `get_epss_timesteps`, cfm.py `sample`.
"""

import numpy as np

from ...errors import UsageError
from ...generate.flow import EVALUATIONS

MAX_STEPS = 1000
# Empirically pruned step sampling: for these numbers of steps the times are these, in 32nds.
_PRUNED = {
    5: (0, 2, 4, 8, 16, 32),
    6: (0, 2, 4, 6, 8, 16, 32),
    7: (0, 2, 4, 6, 8, 16, 24, 32),
    10: (0, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32),
    12: (0, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32),
    16: (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32),
}
_MAX_SWAY = 2 / (np.pi - 2)  # beyond it times go backwards


def times(steps: int, sway: float | None = -1.0, *, epss: bool = True) -> list[float]:
    """Return steps + 1 times from 0 to 1, each a float32: pruned or uniform, then moved towards 0 by a negative sway.

    Raises: UsageError for a number of steps or a sway out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError(f"{steps} steps", fix=f"give 1 to {MAX_STEPS}")
    if sway is not None and not -1 <= sway <= _MAX_SWAY:
        raise UsageError(f"sway is {sway}", fix=f"give -1 to {_MAX_SWAY:.2f}, or 0 for none")
    if epss and steps in _PRUNED:
        grid = np.array(_PRUNED[steps], np.float32) * np.float32(1 / 32)
    else:
        grid = _linspace(steps + 1)
    if sway is not None:
        cosine = np.cos((np.float32(np.pi / 2) * grid).astype(np.float64)).astype(np.float32)
        grid = grid + np.float32(sway) * (cosine - np.float32(1) + grid)
    return [float(t) for t in grid]


def _linspace(count: int) -> np.ndarray:
    """Return torch.linspace(0, 1, count), which counts from both ends, bit for bit."""
    step = np.float32(1) / np.float32(count - 1)
    rising = step * np.arange(count, dtype=np.float32)
    return np.where(np.arange(count) < count // 2, rising, np.float32(1) - rising[::-1])


def evaluation_times(grid: list[float], method: str) -> np.ndarray:
    """Return the time of every evaluation of the velocity that the solver `method` makes. Shapes: -> [S] float32."""
    start, end = np.array(grid[:-1], np.float32), np.array(grid[1:], np.float32)
    if EVALUATIONS[method] == 1:
        return start
    return np.stack([start, start + np.float32(0.5) * (end - start)], axis=1).reshape(-1)


def passes(steps: int, guidance: float, method: str = "euler") -> int:
    """Return how often one row goes through the network."""
    return EVALUATIONS[method] * steps * (2 if is_guided(guidance) else 1)


def is_guided(guidance: float) -> bool:
    """Return whether the guidance is so strong that the original computes the unconditional velocity."""
    return guidance >= 1e-5
