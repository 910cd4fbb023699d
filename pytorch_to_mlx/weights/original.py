"""Open an original checkpoint as people save it: wrapped in other modules, beside its config.json."""

from pathlib import Path

from ..checkpoint import Checkpoint, open_checkpoint, read_json
from ..checkpoint.training import strip_prefix, wrapping_prefix
from ..errors import FormatError
from .apply import make_plan
from .rules import WeightMap


def open_original(path: Path, weight_map: WeightMap) -> Checkpoint:
    """Open a checkpoint; a prefix common to all tensors goes where the rules then know them.

    Of a single file the config is the config.json beside it, if there is one.
    """
    checkpoint = open_checkpoint(path)
    try:
        beside = path.with_name("config.json")
        if checkpoint.config is None and path.is_file() and beside.is_file():
            checkpoint.config = read_json(beside)
        prefix = wrapping_prefix(checkpoint.names(), lambda names: 2 * n_unknown(names, weight_map) < len(names))
        if prefix:
            strip_prefix(checkpoint, prefix)
    except FormatError:
        checkpoint.close()
        raise
    return checkpoint


def n_unknown(names: list[str], weight_map: WeightMap) -> int:
    return len(make_plan(weight_map, names).unmatched)
