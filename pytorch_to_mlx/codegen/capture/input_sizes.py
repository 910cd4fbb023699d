"""The sizes of inputs in the user's names: `x.shape[1]`, and the axes that a capture fixed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..graph import Meta, Node


def axis_text(name: str, axis: int) -> str:
    """Return how the length of an axis is written."""
    return f"{name}.shape[{axis}]"


def size_names(inputs: Sequence[Node]) -> dict[str, str]:
    """Return `x.shape[1]` for every dynamic size of the inputs, by its symbol: the first axis that shows it."""
    names: dict[str, str] = {}
    for name, meta in _metas(inputs):
        for axis, size in enumerate(meta.shape):
            if not isinstance(size, int) and size.is_Symbol:
                names.setdefault(str(size), axis_text(name, axis))
    return names


def named(text: str, names: Mapping[str, str]) -> str:
    """Put the names of sizes for torch's symbols in a text; "$" before a symbol goes as well."""
    return re.sub(r"\$?\b(\w+)\b", lambda match: names.get(match[1], match[0].lstrip("$")), text)


def short_names(inputs: Sequence[Node]) -> dict[str, str]:
    """Return `x[1]` for every dynamic size of the inputs, by its symbol, for tables."""
    return {symbol: name.replace(".shape[", "[") for symbol, name in size_names(inputs).items()}


def shape_names(meta: Meta, names: Mapping[str, str]) -> list[int | str]:
    """Return a shape with names for its dynamic sizes."""
    return [size if isinstance(size, int) else named(str(size), names) for size in meta.shape]


def input_texts(inputs: Sequence[Node]) -> dict[str, str]:
    """Return dtype and shape of every input, as `float32[x[0], 6]`."""
    names = short_names(inputs)
    return {
        name: f"{meta.dtype_name}[{', '.join(map(str, shape_names(meta, names)))}]" for name, meta in _metas(inputs)
    }


def fixed_sizes(inputs: Sequence[Node], guards: Sequence[Any] = ()) -> list[str]:
    """Return a sentence for every axis of an input that has one length only, and for every condition on sizes."""
    axes = [
        f"axis {axis} of {name} is {size} only"
        for name, meta in _metas(inputs)
        for axis, size in enumerate(meta.shape)
        if isinstance(size, int)
    ]
    names = size_names(inputs)
    return axes + [f"{guard.text(names)} ({guard.where})" for guard in guards]


def _metas(inputs: Sequence[Node]) -> list[tuple[str, Meta]]:
    return [(node.name, node.meta) for node in inputs if isinstance(node.meta, Meta)]
