"""One model in several processes that `mlx.launch` started, on one machine or more: each computes a share of heads."""

import os
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from ...errors import UsageError


def processes() -> Any:
    """Return the group of processes that this one was started in by mlx.launch, None where it is alone."""
    if "MLX_RANK" not in os.environ:
        return None
    group = mx.distributed.init()
    return group if group.size() > 1 else None


def is_first() -> bool:
    """Return whether this process is the one that shows results."""
    group = processes()
    return group is None or group.rank() == 0


def shard(model: Any, config: Mapping[str, Any], group: Any) -> None:
    """Keep this process's share of the weights.

    Raises: UsageError for an architecture that mlx-lm does not divide, and for heads that do not divide.
    """
    count = group.size()
    if not hasattr(model, "shard"):
        raise UsageError(f"mlx-lm does not divide {config['model_type']} among processes", fix="run it in one")
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        size = config.get(name)
        if isinstance(size, int) and size % count:
            raise UsageError(f"{size} {name} do not divide among {count} processes", fix="start another number of them")
    model.shard(group)
    mx.eval(model.parameters())
    mx.eval(mx.distributed.all_sum(mx.array(1.0), stream=mx.cpu))  # all are here
