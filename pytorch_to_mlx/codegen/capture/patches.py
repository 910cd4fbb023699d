"""What torch.export does otherwise than this project needs, changed while a module is traced."""

import contextlib
import functools
import itertools
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch._decomp import decomposition_table
from torch.fx.experimental.symbolic_shapes import DimConstraints, ShapeEnv

from .buffer_numbers import counted
from .size_patches import quick_sizes

DispatchKey = torch._C.DispatchKey
LAYERS = [getattr(torch.ops.aten, name).input for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")]


@contextlib.contextmanager
def traceable(module: nn.Module) -> Iterator[None]:
    """A module may be traced inside: recurrent layers stay whole, so that their lengths stay dynamic."""
    with (
        quiet(),
        conversions_to_itself(),
        whole_recurrences(),
        unsolved_constraints(),
        plain_causality(module),
        dynamic_linspace(),
        no_full_masks(),
        dynamic_lengths(module),
        counted(module),
        quick_sizes(),
    ):
        yield


@contextlib.contextmanager
def replaced(home: Any, name: str, new: Any) -> Iterator[None]:
    """An attribute has another value for a while."""
    original = getattr(home, name)
    setattr(home, name, new)
    try:
        yield
    finally:
        setattr(home, name, original)


@contextlib.contextmanager
def conversions_to_itself() -> Iterator[None]:
    """`module.to(dtype)` inside a forward is left out where the module has that dtype: torch.export cannot trace it."""
    original = nn.Module.to

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        tensors = itertools.chain(self.parameters(), self.buffers())
        same = all(
            device in (None, tensor.device) and (dtype in (None, tensor.dtype) or not tensor.is_floating_point())
            for tensor in tensors
        )
        return self if same else original(self, *args, **kwargs)

    with replaced(nn.Module, "to", to):
        yield


@contextlib.contextmanager
def whole_recurrences() -> Iterator[None]:
    """LSTM, GRU and RNN stay one op each. torch unrolls them step by step, which fixes the length of the sequence."""
    saved = {op: (dict(op.py_kernels), decomposition_table[op]) for op in LAYERS}
    for op in LAYERS:
        op.py_kernels.pop(DispatchKey.Autograd, None)
        op.py_kernels[DispatchKey.CompositeImplicitAutograd] = recurrent_shapes
        op._dispatch_cache.clear()
        decomposition_table[op] = recurrent_shapes  # what fake tensors compute shapes with
    try:
        yield
    finally:
        for op, (kernels, decomposition) in saved.items():
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            op._dispatch_cache.clear()
            decomposition_table[op] = decomposition


def recurrent_shapes(
    x: torch.Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Empty results of a recurrent layer.

    Shapes: x [T, B, D] ([B, T, D] for batch_first, [T, D] for one example), hx [layers · directions, B, H].
    """
    states = list(hx) if isinstance(hx, list | tuple) else [hx]
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    return (x.new_empty((*x.shape[:-1], width)), *[torch.empty_like(state) for state in states])


@contextlib.contextmanager
def unsolved_constraints() -> Iterator[None]:
    """Conditions on sizes are not solved, nor written into the program: it is not run, and tracing them takes long.

    torch wants their solution for messages alone, and sympy often fails at it. `guards.py` reads them as they are.
    """

    def none(self: ShapeEnv, *args: Any, **options: Any) -> None:
        self.dim_constraints = DimConstraints({}, {}, set(), {})

    with (
        replaced(ShapeEnv, "produce_guards", none),
        replaced(torch.export.exported_program, "_convert_guards_to_code", lambda module: []),
    ):
        yield


@contextlib.contextmanager
def plain_causality(module: nn.Module) -> Iterator[None]:
    """Attention takes `is_causal=length > 1`: torch reads a flag there, not a condition on a dynamic size.

    Code that imported the function by name has its own reference to it.
    """
    original = nn.functional.scaled_dot_product_attention

    @functools.wraps(original)
    def attention(*args: Any, **kwargs: Any) -> torch.Tensor:
        return original(*(_plain(item) for item in args), **{name: _plain(item) for name, item in kwargs.items()})

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(nn.functional, "scaled_dot_product_attention", attention))
        for file in _files(module):
            for name in [name for name, item in vars(file).items() if item is original]:
                stack.enter_context(replaced(file, name, attention))
        yield


@contextlib.contextmanager
def dynamic_lengths(module: nn.Module) -> Iterator[None]:
    """`len(tensor)` is its first size, and transformers' `torch_int` leaves sizes alone: Python makes plain numbers."""

    def length(item: Any) -> Any:
        return item.shape[0] if isinstance(item, torch.Tensor) and item.ndim else len(item)

    with contextlib.ExitStack() as stack:
        for file in _files(module):
            if "len" not in vars(file):
                file.len = length
                stack.callback(delattr, file, "len")
            if callable(original := vars(file).get("torch_int")):
                stack.enter_context(replaced(file, "torch_int", functools.partial(_whole, original)))
        yield


def _whole(original: Any, number: Any) -> Any:
    return number if isinstance(number, torch.SymInt) else original(number)


def _files(module: nn.Module) -> set[Any]:
    """The Python modules that the classes of a module's parts come from."""
    files = {sys.modules.get(type(part).__module__) for part in module.modules()}
    return {file for file in files - {None} if not file.__name__.startswith("torch.")}


@contextlib.contextmanager
def dynamic_linspace() -> Iterator[None]:
    """`torch.linspace` with as many numbers as a dynamic size says: torch's own fixes that size to the example's."""
    original = torch.linspace

    @functools.wraps(original)
    def linspace(start: Any, end: Any, steps: Any, **options: Any) -> torch.Tensor:
        numbers = (int, float, torch.SymInt, torch.SymFloat)
        if not isinstance(steps, torch.SymInt) or not all(isinstance(limit, numbers) for limit in (start, end)):
            return original(start, end, steps, **options)
        places = torch.arange(steps, device=options.get("device"))
        step = (end - start) / (steps - 1)  # as torch: up from the start, then down to the end
        values = torch.where(places < steps // 2, start + step * places, end - step * (steps - 1 - places))
        return values.to(options.get("dtype") or torch.get_default_dtype())

    with replaced(torch, "linspace", linspace):
        yield


@contextlib.contextmanager
def no_full_masks() -> Iterator[None]:
    """transformers makes no mask where everything is attended to and nothing is padded; here also while it is traced.

    Some models refuse a mask there: attention whose length is not that of the tokens, such as Autoformer's.
    """
    masks: Any = sys.modules.get("transformers.masking_utils")
    name = "_ignore_bidirectional_mask_sdpa"
    original = getattr(masks, name, None)
    if original is None:
        yield
        return

    def ignored(padding_mask: Any, kv_length: Any, local_attention_size: Any = None) -> bool:
        nothing = padding_mask is None and local_attention_size is None
        return nothing or original(padding_mask, kv_length, local_attention_size)

    with replaced(masks, name, ignored):
        yield


def _plain(item: Any) -> Any:
    return bool(item) if isinstance(item, torch.SymBool) else item


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch.export reports through loggers and warnings what its exception says again."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.fx", "torch._dynamo", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
