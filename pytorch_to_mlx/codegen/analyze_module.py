"""What of a module would convert, what would not and why: the same table of ops as the generator, nothing written."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import FormatError
from .capture.export import Captured
from .capture.methods import labelled, size_hints
from .emit.writer import Writer
from .extensions import replacement_for
from .graph import Graph, Meta, Node, Sym, Unsupported, transform
from .lowering.ops import lower
from .lowering.recorder import Recorded, Recording, recording
from .lowering.sizes import as_size, hint_of, with_sizes
from .reports.analysis import ModuleAnalysis, OpUse
from .sources.module_source import ModuleSource
from .sources.open import open_module


def analyze_module(source: str | ModuleSource) -> ModuleAnalysis:
    """Tell what of a module would convert to MLX source, and why not; nothing is converted or written."""
    opened = open_module(source) if isinstance(source, str) else source
    module = opened.module
    result = ModuleAnalysis(opened.text or opened.class_name, opened.class_name)
    result.parameters = sum(p.numel() for p in module.parameters())
    result.modules = [_describe(path, child) for path, child in module.named_modules()]
    try:
        entries = opened.entries()
    except FormatError as error:
        result.problems.append(str(error))
        return result
    result.captured = ", ".join(dict.fromkeys(entry.captured.how for entry in entries))
    uses: dict[tuple[str, str], OpUse] = {}
    weights: dict[str, torch.Tensor] = {}
    values = 0
    for entry in entries:
        inputs, hints = entry.captured.graph.inputs(), size_hints(entry)
        result.inputs |= {labelled(entries, entry, node.name): str(node.meta) for node in inputs}
        result.dynamic += [labelled(entries, entry, axis) for axis in _dynamic(entry.captured)]
        weights |= entry.captured.weights
        values = max(values, _values(entry.captured.graph, hints))
        _ops(result, uses, entry.captured.graph, hints)
    result.memory = {"weights": sum(_size(tensor) for tensor in weights.values()), "values": values}
    result.ops = sorted(uses.values(), key=lambda use: (not use.problem, -use.count, use.op))
    result.problems += [
        f"{use.op} ×{use.count} at {use.where or use.module}: {use.problem}" for use in result.ops if use.problem
    ]
    result.convertible = not result.problems
    return result


def _describe(path: str, module: nn.Module) -> dict[str, Any]:
    own = sum(p.numel() for p in module.parameters(recurse=False))
    return {"path": path or "(root)", "class": type(module).__name__, "parameters": own}


def _dynamic(captured: Captured) -> list[str]:
    found = []
    for node in captured.graph.inputs():
        if isinstance(node.meta, Meta):
            found += [f"{node.name}[{axis}]" for axis, size in enumerate(node.meta.shape) if not isinstance(size, int)]
    return found


def _ops(result: ModuleAnalysis, uses: dict[tuple[str, str], OpUse], graph: Graph, hints: Mapping[Any, int]) -> None:
    known = set(hints)
    for node in graph.nodes:
        if not node.op.startswith("aten.") and node.op.count(".") == 0:
            continue
        if frame := next((frame for frame in node.stack if replacement_for(frame.class_name)), None):
            result.replaced[frame.path] = replacement_for(frame.class_name).mlx_class.__name__  # type: ignore[union-attr]
            continue
        problem = why_not(node, hints)
        use = uses.setdefault((node.op, problem), OpUse(node.op, 0, node.where, node.module, problem))
        use.count += 1
        sizes = node.meta.shape if isinstance(node.meta, Meta) else ()
        fresh = {size for size in sizes if not isinstance(size, int) and size.is_Symbol} - known
        if fresh or isinstance(node.meta, Sym):
            known |= fresh
            result.data_dependent.append(f"{node.op} at {node.where or node.module}")


def why_not(node: Node, hints: Mapping[Any, int]) -> str:
    """Why the generator could not write a node; "" if it can."""

    def value(item: Any) -> Any:
        if isinstance(item, Sym):
            return as_size(item, hints)
        if item.op == "constant":
            return item.args[0]
        return _stand_in(item, hints)

    try:
        with recording(Recording()):
            lower(node.op, transform(node.kwargs, (Node, Sym), value), with_sizes(node.meta, hints))
    except Unsupported as error:
        return error.what
    return ""


def _stand_in(node: Node, hints: Mapping[Any, int]) -> Any:
    import ast

    if isinstance(node.meta, list | tuple):
        return [_stand_in(Node(node.name, node.op, meta=part), hints) for part in node.meta]
    if not isinstance(node.meta, Meta):
        return Recorded(ast.Name("x"), None)
    meta = with_sizes(node.meta, hints)
    return Recorded(ast.Name("x"), Writer.stand_in(meta), meta.shape)


def _values(graph: Graph, hints: Mapping[Any, int]) -> int:
    """Bytes of the most values that are alive at once at the example's sizes."""
    users = graph.users()
    left = {node: len(used_by) for node, used_by in users.items()}
    alive = peak = 0
    for node in graph.nodes:
        alive += 0 if node.op == "weight" else _bytes(node, hints)
        peak = max(peak, alive)
        for used in dict.fromkeys(node.inputs()):
            left[used] -= 1
            if not left[used] and used.op != "weight":
                alive -= _bytes(used, hints)
    return peak


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _bytes(node: Node, hints: Mapping[Any, int]) -> int:
    metas = node.meta if isinstance(node.meta, list) else [node.meta]
    total = 0
    for meta in metas:
        if isinstance(meta, Meta):
            count = 1
            for size in meta.shape:
                count *= size if isinstance(size, int) else hint_of(size, hints)
            total += int(count) * getattr(torch, meta.dtype_name).itemsize
    return total
