"""Run a module in torch and watch: what every submodule is given under which name, and every value of its graph."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

Described = dict[tuple[str, int], list[tuple[str, torch.dtype, tuple]]]
Print = tuple[torch.dtype, tuple, bytes]  # dtype, shape, digest of the values
Arguments = dict[tuple[str, int], list[tuple[str, Print]]]


def fingerprint(value: Any) -> Print | None:
    """What equal tensors have in common, in a few bytes; None for what is no plain tensor."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return None
    value = value.detach().resolve_conj().resolve_neg().contiguous()
    digest = blake2b(value.reshape(-1).view(torch.uint8).numpy(), digest_size=16).digest()
    return value.dtype, tuple(value.shape), digest


def watch_arguments(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[Any, Arguments]:
    """The module's result, and the tensors that each call of each submodule was given, by parameter name."""
    seen: Arguments = {}
    counts: dict[str, int] = {}
    handles = []

    def hook(path: str) -> Callable:
        def before(child: nn.Module, given: tuple, named: dict[str, Any]) -> None:
            number = counts.get(path, 0)
            counts[path] = number + 1
            found = ((name, fingerprint(tensor)) for name, tensor in named_tensors(child, given, named))
            seen[path, number] = [(name, print_) for name, print_ in found if print_ is not None]

        return before

    for path, child in module.named_modules():
        if path:
            handles.append(child.register_forward_pre_hook(hook(path), with_kwargs=True))
    try:
        with torch.no_grad(), unchanged(module):
            result = module(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return result, seen


@contextlib.contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """The module's buffers are afterwards what they were before."""
    buffers = [(child._buffers, name, tensor) for child in module.modules() for name, tensor in child._buffers.items()]
    saved = [None if tensor is None else tensor.clone() for _, _, tensor in buffers]
    try:
        yield
    finally:
        for (home, name, tensor), values in zip(buffers, saved, strict=True):
            home[name] = tensor
            if tensor is not None and values is not None:
                tensor.data.copy_(values)


@contextlib.contextmanager
def tracing_arguments(module: nn.Module) -> Iterator[Described]:
    """While the module is exported: names, dtypes and example shapes of what each call is given."""
    seen: Described = {}
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable:
        def before(child: nn.Module, given: tuple, named: dict[str, Any]) -> None:
            if not path:  # a new pass of the tracer
                seen.clear()
                counts.clear()
            number = counts.get(path, 0)
            counts[path] = number + 1
            seen[path, number] = [
                (name, value.dtype, tuple(_example(size) for size in value.shape))
                for name, value in named_tensors(child, given, named)
            ]

        return before

    handles = [child.register_forward_pre_hook(hook(path), with_kwargs=True) for path, child in module.named_modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _example(size: Any) -> Any:
    """The example value of a size, without asking the tracer to fix it."""
    if isinstance(size, torch.SymInt):
        return size.node.hint if size.node.has_hint() else None
    return size


def named_tensors(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Iterable[tuple[str, torch.Tensor]]:
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        bound = {f"arg_{i}": value for i, value in enumerate(args)} | kwargs
    for name, value in bound.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.kind is inspect.Parameter.VAR_KEYWORD:
            for key, part in value.items():
                yield from _leaves(key, part)
        else:
            yield from _leaves(name, value)


def _leaves(name: str, value: Any) -> Iterable[tuple[str, torch.Tensor]]:
    flat = [part for part in pytree.tree_leaves(value) if isinstance(part, torch.Tensor)]
    for place, tensor in enumerate(flat):
        yield (name if len(flat) == 1 else f"{name}_{place}"), tensor


class Values(torch.fx.Interpreter):
    """The values of an exported program's nodes, in the program's dtype."""

    def __init__(self, program: ExportedProgram, keep: set[str], watch: Callable[[str], None] | None = None) -> None:
        super().__init__(program.graph_module, garbage_collect_values=True)
        self.program = program
        self.keep = keep
        self.watch = watch  # told the name of every kept value, as soon as it is there
        self.kept: dict[str, Any] = {}

    def compute(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Run on the flat example inputs. Returns the kept values by node name."""
        waiting = list(flat_inputs)
        values = []
        for spec in self.program.graph_signature.input_specs:
            if spec.kind == InputKind.USER_INPUT:
                values.append(self._detached(waiting.pop(0)))
            else:
                state = self.program.state_dict if spec.target in self.program.state_dict else self.program.constants
                values.append(self._detached(state[spec.target]))
        with torch.no_grad():
            self.run(*values, enable_io_processing=False)
        return self.kept

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.keep:
            self.kept[n.name] = value
            if self.watch is not None:
                self.watch(n.name)
        return value

    @staticmethod
    def _detached(value: Any) -> Any:
        return value.detach() if isinstance(value, torch.Tensor) else value


def same_tensor(left: Any, right: Any) -> bool:
    """Whether two values are equal tensors."""
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return False
    return left.shape == right.shape and left.dtype == right.dtype and torch.equal(left, right)


def watch_calls(module: nn.Module, paths: set[str], args: tuple, kwargs: Mapping[str, Any]) -> dict:
    """(path, number) -> the tensors that a call was given, by name, and those that it returned."""
    seen: dict[tuple[str, int], tuple[list, list]] = {}
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable:
        def after(child: nn.Module, given: tuple, named: dict[str, Any], result: Any) -> None:
            counts[path] = counts.get(path, -1) + 1
            tensors = [item for item in pytree.tree_leaves(result) if isinstance(item, torch.Tensor)]
            seen[path, counts[path]] = list(named_tensors(child, given, named)), tensors

        return after

    handles = [module.get_submodule(path).register_forward_hook(hook(path), with_kwargs=True) for path in paths]
    try:
        with torch.no_grad(), unchanged(module):
            module(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return seen
