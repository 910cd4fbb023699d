"""Notice a process that was forked after MLX ran: MLX's threads are not in it, and its first evaluation never ends."""

import os

from .errors import MachineError

_state = {"ran": False, "forked": False}


def _after_fork() -> None:
    _state["forked"] = _state["ran"]


os.register_at_fork(after_in_child=_after_fork)


def require_own_threads() -> None:
    """Note that MLX runs in this process now; every entry point that computes calls this first.

    Raises: MachineError in a child of a process in which it ran.
    """
    if _state["forked"]:
        raise MachineError(
            "this process was forked after MLX ran, and MLX cannot compute in it",
            fix="use multiprocessing's spawn, or load the model only after the fork",
        )
    _state["ran"] = True
