"""Read sharded checkpoints: an index.json maps tensor names to files, and is checked against what the files hold."""

import math
from collections.abc import Callable
from pathlib import Path

from ..errors import FormatError
from ..units import count_text
from .base import Checkpoint, Entry, itemsize
from .budget import Budget
from .files import quote, relative_inside
from .json_file import read_json

MAX_SHARDS = 10_000


def open_shards(
    index_path: Path, suffix: str, open_one: Callable[[Path, Budget], Checkpoint], budget: Budget
) -> Checkpoint:
    """Open every shard that an index names, as one checkpoint.

    open_one: opens one shard.
    Raises: FormatError naming the file, for shards outside the folder or missing, tensors that are in two shards, in
    another one or in none, shards beside the index that it does not name, and a total_size that does not fit.
    """
    index = read_json(index_path, budget=budget)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError("has no weight_map", where=index_path)
    files: dict[str, Path] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not shard.endswith(suffix):
            raise FormatError(f"maps {quote(name)} to {quote(shard)}, which is not a {suffix} file", where=index_path)
        if shard not in files:
            files[shard] = relative_inside(index_path.parent, shard, where=index_path)
            if len(files) > MAX_SHARDS:
                raise FormatError(f"names more than {MAX_SHARDS} shards", where=index_path)
    missing = [shard for shard, path in files.items() if not path.exists()]
    if missing:
        what = count_text(len(missing), "shard is missing", "shards are missing")
        raise FormatError(what, where=index_path, fix="download them", details=map(quote, missing))
    _check_strays(index_path, suffix, set(files))
    shards: dict[str, Checkpoint] = {}
    try:
        for shard, path in files.items():
            shards[shard] = open_one(path, budget)
        entries = _join_entries(index_path, weight_map, shards)
        _check_total(index_path, index, shards)
    except FormatError:
        for shard in shards.values():
            shard.close()
        raise
    kinds = {shard.kind for shard in shards.values()}
    extra: dict = {}
    for shard in shards.values():
        extra |= shard.extra
    open_files = [file for shard in shards.values() for file in shard.files]
    kind = kinds.pop() if len(kinds) == 1 else "safetensors"
    return Checkpoint(str(index_path.parent), kind, entries, extra=extra, files=open_files)


def _check_strays(index_path: Path, suffix: str, shard_names: set[str]) -> None:
    """Refuse shards that lie beside the index, but that it does not name."""
    stem = index_path.name.removesuffix(f"{suffix}.index.json")
    beside = {path.name for path in index_path.parent.glob(f"{stem}-*-of-*{suffix}")}
    strays = sorted(beside - shard_names)
    if strays:
        what = count_text(len(strays), "shard beside it is not in the index", "shards beside it are not in the index")
        raise FormatError(what, where=index_path, details=map(quote, strays))


def _join_entries(index_path: Path, weight_map: dict[str, str], shards: dict[str, Checkpoint]) -> dict[str, Entry]:
    """Return the tensors of all shards in the order of the index; refuse an index that disagrees with the shards."""
    problems = []
    for shard, checkpoint in shards.items():
        for name in checkpoint:
            if weight_map.get(name) != shard:
                index_says = f"the index says {quote(weight_map[name])}" if name in weight_map else "not in the index"
                problems.append(f"{quote(name)} is in {quote(shard)}, {index_says}")
    for name, shard in weight_map.items():
        if name not in shards[shard].entries:
            problems.append(f"{quote(name)} is not in {quote(shard)}")
    if problems:
        raise FormatError(f"the index and the shards disagree: {problems[0]}", where=index_path, details=problems)
    return {name: shards[shard].entries[name] for name, shard in weight_map.items()}


def _check_total(index_path: Path, index: dict, shards: dict[str, Checkpoint]) -> None:
    """Refuse a total_size that the shards cannot have."""
    metadata = index.get("metadata", {})
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if total is None:
        return
    infos = [info for shard in shards.values() for info in shard.infos().values()]
    stored = sum(math.prod(info.shape) * itemsize(info.stored_dtype) for info in infos)
    # Some writers count tied weights once, and torch counts parameters only, so it may be less but never more.
    if type(total) not in (int, float) or total > stored or total < stored / 2:
        raise FormatError(f"total_size is {quote(total)}, the shards hold {stored} bytes", where=index_path)
