"""Tell what of a module would convert, what would not and why, by the generator's own table of ops; write nothing."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import FormatError
from .capture.captured import Captured
from .capture.failures import torch_failures
from .capture.input_sizes import input_texts
from .capture.methods import labelled, size_hints
from .capture.patches import plain_encoders
from .emit.scope import placeholder, with_example
from .extensions import replacement_for
from .graph import Graph, Meta, Node, Sym, Unsupported, transform
from .lowering.ops import lower
from .lowering.recorder import Recording, recording
from .lowering.sizes import as_size, hint_of, with_sizes
from .reports.analysis import ModuleAnalysis, OpUse
from .sources.module_source import ModuleSource
from .sources.open import open_module

Sizes = Mapping[Any, int]  # symbol of a dynamic size -> its value in the example inputs
Uses = dict[tuple[str, str], OpUse]  # (op, problem) -> where it is used


@plain_encoders()
def analyze_module(source: str | ModuleSource) -> ModuleAnalysis:
    """Tell what of a module would convert to MLX source, and why not; nothing is converted or written.

    A module that cannot be captured is a problem in the result, not an error.
    """
    opened = open_module(source) if isinstance(source, str) else source
    module = opened.module
    result = ModuleAnalysis(opened.text or opened.class_name, opened.class_name)
    result.parameters = sum(p.numel() for p in module.parameters())
    result.modules = [_describe(path, child) for path, child in module.named_modules()]
    try:
        with torch_failures(opened.class_name):
            entries = opened.entries()
    except FormatError as error:
        result.problems.append(str(error))
        return result
    result.captured = ", ".join(dict.fromkeys(entry.captured.how for entry in entries))
    uses: Uses = {}
    weights: dict[str, torch.Tensor] = {}
    peak_bytes = 0
    for entry in entries:
        inputs, hints = entry.captured.graph.inputs(), size_hints(entry)
        result.inputs |= {labelled(entries, entry, name): text for name, text in input_texts(inputs).items()}
        result.fixed += [labelled(entries, entry, text) for text in entry.captured.fixed]
        result.dynamic += [labelled(entries, entry, axis) for axis in _dynamic_axes(entry.captured)]
        weights |= entry.captured.weights
        peak_bytes = max(peak_bytes, _peak_bytes(entry.captured.graph, hints))
        _count_ops(result, uses, entry.captured.graph, hints)
    weight_bytes = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    result.memory = {"weights": weight_bytes, "values": peak_bytes}
    result.ops = sorted(uses.values(), key=lambda use: (not use.problem, -use.count, use.op))
    result.problems += [
        f"{use.op} ×{use.count} at {use.where or use.module}: {use.problem}" for use in result.ops if use.problem
    ]
    result.convertible = not result.problems
    return result


def _describe(path: str, module: nn.Module) -> dict[str, Any]:
    own = sum(p.numel() for p in module.parameters(recurse=False))
    return {"path": path or "(root)", "class": type(module).__name__, "parameters": own}


def _dynamic_axes(captured: Captured) -> Iterator[str]:
    for node in captured.graph.inputs():
        if isinstance(node.meta, Meta):
            yield from (
                f"{node.name}[{axis}]" for axis, size in enumerate(node.meta.shape) if not isinstance(size, int)
            )


def _count_ops(result: ModuleAnalysis, uses: Uses, graph: Graph, hints: Sizes) -> None:
    """Add a graph's ops to `uses`; note registered modules and data-dependent sizes in the result."""
    known = set(hints)
    for node in graph.nodes:
        if (not node.op.startswith("aten.") and node.op.count(".") == 0) or node.op.startswith("loop."):
            continue
        replacements = ((frame.path, replacement_for(frame.class_name)) for frame in node.stack)
        outermost = next(((path, replacement) for path, replacement in replacements if replacement), None)
        if outermost:
            path, replacement = outermost
            result.replaced[path] = replacement.mlx_class.__name__
            continue
        problem = why_not(node, hints)
        use = uses.setdefault((node.op, problem), OpUse(node.op, 0, node.where, node.module, problem))
        use.count += 1
        sizes = node.meta.shape if isinstance(node.meta, Meta) else ()
        new = {size for size in sizes if not isinstance(size, int) and size.is_Symbol} - known
        if new or isinstance(node.meta, Sym):
            known |= new
            result.data_dependent.append(f"{node.op} at {node.where or node.module}")


def why_not(node: Node, hints: Sizes) -> str:
    """Return why the generator could not write a node; "" if it can."""

    def argument(item: Any) -> Any:
        if isinstance(item, Sym):
            return as_size(item, hints)
        if item.op == "constant":
            return item.args[0]
        return with_example(placeholder(item.meta, ast.Name("x"), hints), item, hints)

    try:
        with recording(Recording()):
            lower(node.op, transform(node.kwargs, (Node, Sym), argument), with_sizes(node.meta, hints))
    except Unsupported as error:
        return error.what
    return ""


def _peak_bytes(graph: Graph, hints: Sizes) -> int:
    """Return the bytes of the most values that are alive at once, without weights, at the example's sizes."""
    n_uses = {node: len(users) for node, users in graph.users().items()}
    alive = peak = 0
    for node in graph.nodes:
        alive += 0 if node.op == "weight" else _bytes(node, hints)
        peak = max(peak, alive)
        for used in dict.fromkeys(node.inputs()):
            n_uses[used] -= 1
            if not n_uses[used] and used.op != "weight":
                alive -= _bytes(used, hints)
    return peak


def _bytes(node: Node, hints: Sizes) -> int:
    n_bytes = 0
    for meta in node.meta if isinstance(node.meta, list) else [node.meta]:
        if isinstance(meta, Meta):
            count = 1
            for size in meta.shape:
                count *= size if isinstance(size, int) else hint_of(size, hints)
            n_bytes += int(count) * getattr(torch, meta.dtype_name).itemsize
    return n_bytes
