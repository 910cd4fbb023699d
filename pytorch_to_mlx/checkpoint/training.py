"""Find the weights in what training saves: sub-dicts, what lies beside them, prefixes of wrappers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .base import Checkpoint
from .budget import Budget
from .files import quote
from .pickle_machine import Tensor
from .placeholder import holds

# Keys under which programs save a model's weights, the ones to take first.
_WEIGHTS = (
    *("model_state_dict", "state_dict", "model_state", "model", "module", "net", "network", "weights", "params"),
    *("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema"),
)
_TRAINING = re.compile(
    r"(^|_)(optim|optimizers?|opt|lr_?schedulers?|schedulers?|sched|scaler|rng|amp|loss_scaler)(_|$)"
)
_TRAINING_MORE = frozenset({"loops", "callbacks", "hyper_parameters"})
# Wrappers: torch.nn.DataParallel, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")


def find_weights(value: Any, budget: Budget) -> tuple[Any, list[str]]:
    """Return the part of a saved value that holds the weights, and a line for each thing that was left out.

    Only where the keys say so: a sub-dict of a known name beside which nothing else holds tensors, but for the state of
    optimizers, schedulers and random generators.
    """
    notes: list[str] = []
    for _ in range(4):
        if not isinstance(value, Mapping):
            break
        with_tensors = [key for key, part in value.items() if holds(part, (Tensor,), budget)]
        left = [key for key in with_tensors if _is_training(key, value[key])]
        rest = [key for key in with_tensors if key not in left]
        if left and rest:
            notes.append(f"left out, of training: {', '.join(quote(key) for key in left)}")
            value = {key: part for key, part in value.items() if key not in left}
        if not rest or any(key not in _WEIGHTS or not isinstance(value[key], Mapping) for key in rest):
            break
        key = min(rest, key=_WEIGHTS.index)
        others = [quote(other) for other in rest if other != key]
        notes.append(f"the weights are those of {quote(key)}" + (f", not {', '.join(others)}" if others else ""))
        value = value[key]
    return value, notes


def _is_training(key: object, part: Any) -> bool:
    if isinstance(part, Mapping) and {"state", "param_groups"} <= set(part):
        return True
    name = str(key).lower()
    is_state = bool(_TRAINING.search(name)) or name in _TRAINING_MORE
    return is_state and (not isinstance(part, Tensor) or "rng" in name)


def strip_wrappers(checkpoint: Checkpoint) -> None:
    """Take the prefixes of wrappers off the names, where every tensor has them."""
    for _ in range(4):
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in checkpoint.entries)), None)
        if not prefix or not checkpoint.entries:
            return
        strip_prefix(checkpoint, prefix)


def strip_prefix(checkpoint: Checkpoint, prefix: str) -> None:
    """Take a prefix that all tensors have off their names."""
    names = {name: name.removeprefix(prefix) for name in checkpoint.entries}
    checkpoint.entries = {
        names[name]: replace(entry, info=replace(entry.info, name=names[name]))
        for name, entry in checkpoint.entries.items()
    }
    checkpoint.notes.append(f"the prefix {quote(prefix)} of all tensors is left out")


def wrapping_prefix(names: list[str], are_known: Callable[[list[str]], bool]) -> str:
    """Return the shortest prefix common to all names without which they are known; "" if they are known as they are."""
    prefix = ""
    for _ in range(4):
        shorter = [name.removeprefix(prefix) for name in names]
        if not shorter or are_known(shorter):
            return prefix
        first = shorter[0].partition(".")[0] + "."
        if not all(name.startswith(first) and name != first for name in shorter):
            return ""
        prefix += first
    return ""
