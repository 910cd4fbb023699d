"""Watch a module as torch runs it: the arguments of every call of a submodule, and every value of its graph."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils.hooks import RemovableHandle

from .noise import drawn, is_draw
from .tensors import flat_tensors, program_tensor

Call = tuple[str, int]  # the path of a submodule, and which call of it
Described = dict[Call, list[tuple[str, torch.dtype, tuple]]]  # name, dtype and example shape of each argument
Print = tuple[torch.dtype, tuple, bytes]  # dtype, shape, digest of the values
Arguments = dict[Call, list[tuple[str, Print]]]
Results = dict[Call, list[Print | None]]
Watched = dict[Call, tuple[list[tuple[str, torch.Tensor]], list[torch.Tensor]]]  # arguments by name, and results


def fingerprint(value: Any) -> Print | None:
    """Return a few bytes that equal tensors have in common; None for anything but a dense tensor."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return None
    value = value.detach().resolve_conj().resolve_neg().contiguous()
    digest = blake2b(value.reshape(-1).view(torch.uint8).numpy(), digest_size=16).digest()
    return value.dtype, tuple(value.shape), digest


def watch_arguments(
    module: nn.Module, args: tuple, kwargs: Mapping[str, Any], results: Results | None = None
) -> tuple[Any, Arguments]:
    """Run the module; return its result and the tensor arguments of each call of each submodule, by parameter name.

    results: filled with what each call of a submodule returns, in order; None for what is no tensor.
    """
    arguments: Arguments = {}
    counts: dict[str, int] = {}
    n_done: dict[str, int] = {}

    def hook(path: str) -> Callable:
        def before(child: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            prints = ((name, fingerprint(tensor)) for name, tensor in named_tensors(child, args, kwargs))
            arguments[_next_call(path, counts)] = [(name, print_) for name, print_ in prints if print_ is not None]

        return before

    def after(path: str) -> Callable:
        def note(child: nn.Module, args: tuple, result: Any) -> None:
            assert results is not None
            parts = result if isinstance(result, tuple) else (result,)
            results[_next_call(path, n_done)] = [fingerprint(part) for part in parts]

        return note

    children = [(path, child) for path, child in module.named_modules() if path]
    handles = [child.register_forward_pre_hook(hook(path), with_kwargs=True) for path, child in children]
    if results is not None:
        handles += [child.register_forward_hook(after(path)) for path, child in children]
    with _remove_after(handles), torch.no_grad(), unchanged(module), seeded():
        return module(*args, **kwargs), arguments


def watch_calls(module: nn.Module, paths: set[str], args: tuple, kwargs: Mapping[str, Any]) -> Watched:
    """Run the module; return the tensor arguments, by name, and the tensor results of each call of some submodules."""
    calls: Watched = {}
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable:
        def after(child: nn.Module, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
            calls[_next_call(path, counts)] = list(named_tensors(child, args, kwargs)), flat_tensors(result)

        return after

    handles = [module.get_submodule(path).register_forward_hook(hook(path), with_kwargs=True) for path in paths]
    with _remove_after(handles), torch.no_grad(), unchanged(module), seeded():
        module(*args, **kwargs)
    return calls


@contextlib.contextmanager
def watch_traced_arguments(module: nn.Module) -> Iterator[Described]:
    """Record names, dtypes and example shapes of the tensor arguments of each call while the module is exported."""
    arguments: Described = {}
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable:
        def before(child: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            if not path:  # a new pass of the tracer
                arguments.clear()
                counts.clear()
            arguments[_next_call(path, counts)] = [
                (name, value.dtype, tuple(_example(size) for size in value.shape))
                for name, value in named_tensors(child, args, kwargs)
            ]

        return before

    handles = [child.register_forward_pre_hook(hook(path), with_kwargs=True) for path, child in module.named_modules()]
    with _remove_after(handles):
        yield arguments


def _next_call(path: str, counts: dict[str, int]) -> Call:
    """Count a call of a submodule, from 0."""
    counts[path] = counts.get(path, -1) + 1
    return path, counts[path]


@contextlib.contextmanager
def _remove_after(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove hooks at the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Let everything that runs inside draw the same random numbers, and leave those of the caller alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextlib.contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Restore the module's buffers at the end, the tensors themselves and their values."""
    buffers = [(child._buffers, name, tensor) for child in module.modules() for name, tensor in child._buffers.items()]
    saved = [None if tensor is None else tensor.clone() for _, _, tensor in buffers]
    try:
        yield
    finally:
        for (home, name, tensor), values in zip(buffers, saved, strict=True):
            home[name] = tensor
            if tensor is not None and values is not None:
                tensor.data.copy_(values)


def _example(size: Any) -> Any:
    """Return the example value of a size, without making the tracer fix it; None if it depends on data."""
    if isinstance(size, torch.SymInt):
        return size.node.hint if size.node.has_hint() else None
    return size


def named_tensors(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Iterable[tuple[str, torch.Tensor]]:
    """Yield the tensors among the arguments of a call, by the name of the parameter of `forward`.

    A parameter that holds several tensors gives NAME_0, NAME_1 and so on.
    """
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
    tensors = flat_tensors(value)
    for i, tensor in enumerate(tensors):
        yield (name if len(tensors) == 1 else f"{name}_{i}"), tensor


class Values(torch.fx.Interpreter):
    """Compute the values of an exported program's nodes, in the program's dtype.

    Args:
        keep: names of the nodes whose values are kept.
        watch: called with the name of each of them as soon as its value is there.

    Attributes:
        draws: the noise of every node that draws, by name.
        random: nodes that draw random numbers in any other way.
    """

    def __init__(self, program: ExportedProgram, keep: set[str], watch: Callable[[str], None] | None = None) -> None:
        super().__init__(program.graph_module, garbage_collect_values=True)
        self.program = program
        self.keep = keep
        self.watch = watch
        self.kept: dict[str, Any] = {}
        self.draws: dict[str, torch.Tensor] = {}
        self.random: set[str] = set()

    def compute(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Run on the flat example inputs and return the kept values by node name."""
        inputs = iter(flat_inputs)
        values = []
        for spec in self.program.graph_signature.input_specs:
            value = next(inputs) if spec.kind == InputKind.USER_INPUT else program_tensor(self.program, spec)
            values.append(value.detach() if isinstance(value, torch.Tensor) else value)
        with torch.no_grad(), seeded():
            self.run(*values, enable_io_processing=False)
        return self.kept

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one node, and keep its value if it is to be kept."""
        if n.op == "call_function" and is_draw(n.target, n.args, n.kwargs):
            value, self.draws[n.name] = drawn(n.target, *self.fetch_args_kwargs_from_env(n), None)
        else:
            state = torch.get_rng_state()
            value = super().run_node(n)
            if not torch.equal(state, torch.get_rng_state()):
                self.random.add(n.name)
        if n.name in self.keep:
            self.kept[n.name] = value
            if self.watch is not None:
                self.watch(n.name)
        return value


def same_tensor(left: Any, right: Any) -> bool:
    """Tell whether two values are equal tensors of one shape and dtype."""
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return False
    return left.shape == right.shape and left.dtype == right.dtype and torch.equal(left, right)
