"""Read a checkpoint's config.json into a frozen dataclass; every number is checked before anything is allocated."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import FormatError
from .units import count_text

C = TypeVar("C")

MAX_NUMBER = 10_000_000
MAX_REPEATS = 1_000
FEW_REPEATS = 100  # are built whatever the checkpoint has: the names that it lacks are then listed
_REPEATED = ("layer", "head", "block")
# Keys that Hugging Face or our own converter writes; they say nothing about the architecture.
ALWAYS_IGNORED = frozenset(
    "model_type architectures quantization quantization_config torch_dtype dtype transformers_version "
    "_name_or_path _commit_hash license tags library_name pipeline_tag".split()
)


def number(default: Any = dataclasses.MISSING, *, low: float | None = None, high: float | None = None) -> Any:
    """Declare a config field with its own range; without this an integer must lie in 1 … MAX_NUMBER."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def from_dict(
    cls: type[C],
    data: Mapping[str, Any],
    *,
    ignored: Collection[str] = (),
    expected: Mapping[str, Any] | None = None,
    where: str | Path | None = "config.json",
) -> C:
    """Build the dataclass `cls` from the keys of `data` that it declares, nested dataclasses and tuples included.

    A field's annotation is its type and `number` its range; fields named after layers, heads or blocks stop at
    MAX_REPEATS. A ValueError of `__post_init__` (sizes that contradict each other) counts as a problem too.
    expected: keys that must hold the value the port was made for, where `data` has them. ignored: keys not looked at;
    `unknown_keys` lists all others. where: the name of `data` in the error.

    Raises: FormatError that lists every problem.
    """
    problems: list[str] = []
    config = _build(cls, data, "", problems)
    for key, value in (expected or {}).items():
        if key in data and data[key] != value:
            problems.append(f"{key} is {_short(data[key])}; this port was made for {value!r}")
    if problems or config is None:
        raise FormatError(
            f"{count_text(len(problems), 'problem')} in the configuration",
            where=where,
            fix="it does not describe a model that this family can build",
            details=problems,
        )
    return config


def unknown_keys(
    cls: type, data: Mapping[str, Any], *, ignored: Collection[str] = (), expected: Collection[str] = ()
) -> list[str]:
    """Return the keys of `data` that are neither fields of `cls` nor ignored or expected on purpose."""
    known = {f.name for f in dataclasses.fields(cls)} | set(ignored) | set(expected) | ALWAYS_IGNORED
    return sorted(set(data) - known)


def check_repeats(sizes: Any, n_tensors: int, *, where: str | Path | None = "config.json") -> None:
    """Refuse sizes with more layers, blocks and entries of lists than a checkpoint has tensors, before they are built.

    sizes: a config's dataclass. Every layer has a tensor of its own, in every family.
    Raises: FormatError.
    """
    count = _repeats(sizes, "")
    if count > max(n_tensors, FEW_REPEATS):
        raise FormatError(
            f"the configuration asks for {count} layers, blocks and parts, the checkpoint has {n_tensors} tensors",
            where=where,
            fix="it belongs to another checkpoint",
        )


def _repeats(value: Any, name: str) -> int:
    """Return how many times a part of a model is repeated by these sizes, at least."""
    if dataclasses.is_dataclass(value):
        return sum(_repeats(getattr(value, field.name), field.name) for field in dataclasses.fields(value))
    if "head" in name:
        return 0
    if isinstance(value, tuple):
        return sum(max(_repeats(item, name), type(item) is int) for item in value)
    return value if type(value) is int and ("layer" in name or "block" in name) else 0


def _build(cls: type[C], data: Any, path: str, problems: list[str]) -> C | None:
    """Return the dataclass, or None and a line in `problems` for each; `path` is where `data` lies in the file."""
    if not isinstance(data, Mapping):
        problems.append(f"{path.rstrip('.') or 'the file'} must be an object, found {_short(data)}")
        return None
    n_before = len(problems)
    hints = typing.get_type_hints(cls)
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = path + field.name
        if field.name in data:
            values[field.name] = _check(hints[field.name], data[field.name], name, field.metadata, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{name} is missing")
    if len(problems) > n_before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        problems.append(f"{path}{error}")
        return None


def _check(hint: Any, value: Any, name: str, limits: Mapping[str, Any], problems: list[str]) -> Any:
    """Return `value` as its annotation asks (lists become tuples); add a line to `problems` where it does not fit."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _check(next(a for a in args if a is not type(None)), value, name, limits, problems)
    if origin is typing.Literal:
        if value not in args:
            problems.append(f"{name} is {_short(value)}; supported: {', '.join(map(repr, args))}")
        return value
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{name}.", problems)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            problems.append(f"{name} must be a list, found {_short(value)}")
            return value
        if len(value) > MAX_REPEATS:
            problems.append(f"{name} must hold at most {MAX_REPEATS} values, found {len(value)}")
            return value
        hints = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(hints) != len(value):
            problems.append(f"{name} must hold {len(hints)} values, found {len(value)}")
            return value
        items = enumerate(zip(hints, value, strict=True))
        return tuple(_check(h, item, f"{name}[{i}]", limits, problems) for i, (h, item) in items)
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(f"{name} must be an object, found {_short(value)}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        value = float(value)
    if type(value) is not hint:
        problems.append(f"{name} must be {_article(hint.__name__)}, found {_short(value)}")
    elif hint in (int, float):
        _check_range(value, name, limits, problems)
    return value


def _check_range(value: float, name: str, limits: Mapping[str, Any], problems: list[str]) -> None:
    low, high = limits.get("low"), limits.get("high")
    if isinstance(value, int):
        field_name = name.rsplit(".", 1)[-1]
        most = MAX_REPEATS if any(word in field_name for word in _REPEATED) else MAX_NUMBER
        low, high = 1 if low is None else low, most if high is None else high
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{name} is {value}, not a finite number")
    elif low is not None and value < low:
        problems.append(f"{name} is {_short(value)}, below the minimum of {low}")
    elif high is not None and value > high:
        problems.append(f"{name} is {_short(value)}, above the maximum of {high}")


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge integer"
    return text if len(text) <= 60 else text[:57] + "…"
