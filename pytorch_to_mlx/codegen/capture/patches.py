"""Patch torch while a module is traced, so that it keeps sizes dynamic and takes code that torch.export refuses."""

import contextlib
import functools
import inspect
import itertools
import logging
import sys
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn
from torch._decomp import decomposition_table
from torch._decomp.decompositions import upsample_compute_output_size
from torch._library import simple_registry
from torch.export import _trace
from torch.fx.experimental.symbolic_shapes import DimConstraints, ShapeEnv
from torch.utils import _pytree as pytree

from .buffer_numbers import symbolic_buffers
from .new_rows import rows_one_by_one
from .number_patches import dynamic_numbers
from .packed import traceable_packs
from .scaled_resize import dynamic_factors
from .size_patches import skip_size_proofs

DispatchKey = torch._C.DispatchKey
RESIZES = [
    getattr(torch.ops.aten, f"upsample_{name}").vec for name in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d")
]
RNNS = [getattr(torch.ops.aten, name).input for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")]
PACKED_RNNS = [getattr(torch.ops.aten, name).data for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")]


@contextlib.contextmanager
def traceable(module: nn.Module, keep_numbers: bool = True, changing: Collection[str] = ()) -> Iterator[set[str]]:
    """Apply every patch that tracing needs. keep_numbers: numbers that are computed from sizes stay dynamic.

    Yields the names of the buffers whose numbers were read, not those `changing`; see `symbolic_buffers`.
    """
    with (
        quiet(),
        skip_noop_casts(),
        skip_error_checks(),
        keep_fused(),
        traceable_packs(),
        skip_constraint_solving(),
        concrete_is_causal(module),
        masks_as_given(),
        skip_idle_dropout(),
        plain_encoders(),
        dynamic_linspace(),
        dynamic_tensors(),
        dynamic_factors(_files(module)),
        rows_one_by_one(),
        skip_full_masks(),
        dynamic_lengths(module),
        own_numbers(module, keep_numbers),
        symbolic_buffers(module, changing) as names_read,
        skip_size_proofs(),
    ):
        yield names_read


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence loggers, warnings and printed graphs: torch.export says there what its exception says again."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.fx", "torch._dynamo", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    _trace.__dict__["print"] = lambda *values, **options: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _trace.__dict__.pop("print", None)  # None if it is quiet around this as well
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def patch_attribute(home: Any, name: str, new: Any) -> Iterator[None]:
    """Give an attribute another value, and restore it at the end."""
    original = getattr(home, name)
    setattr(home, name, new)
    try:
        yield
    finally:
        setattr(home, name, original)


@contextlib.contextmanager
def skip_noop_casts() -> Iterator[None]:
    """Skip `module.to(dtype)` inside a forward where the module has that dtype: torch.export cannot trace it."""
    original = nn.Module.to
    parse = torch._C._nn._parse_to  # pyright: ignore[reportAttributeAccessIssue]  missing from torch's stubs

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        device, dtype, *_ = parse(*args, **kwargs)
        tensors = itertools.chain(self.parameters(), self.buffers())
        is_noop = all(
            device in (None, tensor.device) and (dtype in (None, tensor.dtype) or not tensor.is_floating_point())
            for tensor in tensors
        )
        return self if is_noop else original(self, *args, **kwargs)

    with patch_attribute(nn.Module, "to", to):
        yield


@contextlib.contextmanager
def keep_fused() -> Iterator[None]:
    """Keep recurrent layers, max_pool1d and resized images one op each, shaped by their arguments.

    torch unrolls recurrent layers step by step and gives max_pool1d a plain number of places, which fixes the length,
    and computes bicubic images op by op, which takes ten seconds for each.
    """
    shapes = (
        dict.fromkeys(RNNS, rnn_results)
        | dict.fromkeys(PACKED_RNNS, packed_rnn_results)
        | dict.fromkeys(RESIZES, resize_result)
        | {torch.ops.aten.max_pool1d.default: max_pool_result}
    )
    saved = {op: (dict(op.py_kernels), decomposition_table.get(op)) for op in shapes}
    whole = {
        torch.ops.aten.grid_sampler_2d.default: grid_sample_result,
        torch.ops.aten.meshgrid.default: plain_meshgrid,
    }
    originals = {op: decomposition_table[op] for op in whole}
    decomposition_table.update(whole)
    for op, result in shapes.items():
        op.py_kernels.pop(DispatchKey.Autograd, None)
        op.py_kernels[DispatchKey.CompositeImplicitAutograd] = result
        op._dispatch_cache.clear()
        decomposition_table[op] = result  # what fake tensors compute shapes with
    try:
        yield
    finally:
        decomposition_table.update(originals)
        for op, (kernels, decomposition) in saved.items():
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            op._dispatch_cache.clear()
            if decomposition is None:
                del decomposition_table[op]
            else:
                decomposition_table[op] = decomposition


def rnn_results(
    x: torch.Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Return empty results of a recurrent layer, from which torch reads their shapes.

    Shapes: x [T, B, D] ([B, T, D] for batch_first, [T, D] for one example), hx [layers · directions, B, H]
        -> [T, B, directions · H] in the order of x, and each state as in hx.
    """
    states = list(hx) if isinstance(hx, list | tuple) else [hx]
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    return (x.new_empty((*x.shape[:-1], width)), *[torch.empty_like(state) for state in states])


def packed_rnn_results(
    data: torch.Tensor, batch_sizes: torch.Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Return empty results of a recurrent layer on a packed sequence.

    Shapes: data [N, D], hx as in `rnn_results` -> [N, directions · H], and each state as in hx.
    """
    return rnn_results(data, hx, params, has_biases, num_layers, dropout, train, bidirectional, False)


@contextlib.contextmanager
def skip_error_checks() -> Iterator[None]:
    """Trace the check of a matrix that has no inverse as any assertion: torch orders it by tokens among the inputs."""
    holder = simple_registry.singleton.find("aten::_linalg_check_errors").effect
    with patch_attribute(holder, "_effect", None):
        yield


def grid_sample_result(x: torch.Tensor, grid: torch.Tensor, *options: Any, **others: Any) -> torch.Tensor:
    """Return an empty result of grid_sample, from which torch reads its shape.

    Shapes: x [B, C, H, W], grid [B, h, w, 2] -> [B, C, h, w].
    """
    return x.new_empty((*x.shape[:2], *grid.shape[1:3]))


def plain_meshgrid(tensors: Any) -> Any:
    """Return the grids of axes: torch's own decomposition of this overload lacks its indexing."""
    return torch.ops.aten.meshgrid.indexing(tensors, indexing="ij")


def max_pool_result(x: torch.Tensor, *options: Any, **others: Any) -> torch.Tensor:
    """Return an empty result of max_pool1d. Shapes: x [B, C, T] or [C, T] -> the same with another length."""
    return torch.ops.aten.max_pool1d_with_indices.default(x, *options, **others)[0]


def resize_result(x: torch.Tensor, output_size: Any, align_corners: bool, scale_factors: Any = None) -> torch.Tensor:
    """Return an empty result of interpolate. Shapes: x [B, C, *sizes] -> [B, C, *output_size, or sizes · factors]."""
    sizes: Any = upsample_compute_output_size(x.shape, output_size, scale_factors)
    return x.new_empty((*x.shape[:2], *sizes))


@contextlib.contextmanager
def skip_constraint_solving() -> Iterator[None]:
    """Leave conditions on sizes unsolved, and out of the program: it is not run, and tracing them takes long.

    torch needs their solution for messages alone, and sympy often fails at it. `guards.py` reads them as they are.
    """

    def produce_none(self: ShapeEnv, *args: Any, **options: Any) -> None:
        self.dim_constraints = DimConstraints({}, {}, set(), {})

    with (
        patch_attribute(ShapeEnv, "produce_guards", produce_none),
        patch_attribute(torch.export.exported_program, "_convert_guards_to_code", lambda module: []),
    ):
        yield


@contextlib.contextmanager
def skip_idle_dropout() -> Iterator[None]:
    """Return the input of a dropout in eval mode itself: torch.export takes the result for memory of its own.

    Code that writes into the one then changes the other, as in eager mode.
    """
    with contextlib.ExitStack() as stack:
        for name in _DROPOUTS:
            original = getattr(nn.functional, name)
            function = functools.wraps(original)(functools.partial(_idle_dropout, original))
            stack.enter_context(patch_attribute(nn.functional, name, function))
        yield


_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


def _idle_dropout(original: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    call = inspect.signature(original).bind(*args, **kwargs)
    call.apply_defaults()
    return original(*args, **kwargs) if call.arguments["training"] else call.arguments["input"]


@contextlib.contextmanager
def masks_as_given() -> Iterator[None]:
    """Let nn.Transformer use the mask that it is given: torch asks for its values, to see whether it is causal."""

    def is_causal(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
        return bool(is_causal)

    with patch_attribute(nn.modules.transformer, "_detect_is_causal_mask", is_causal):
        yield


@contextlib.contextmanager
def plain_encoders() -> Iterator[None]:
    """Run nn.TransformerEncoder as with enable_nested_tensor=False: padded places get values as others do."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


@contextlib.contextmanager
def concrete_is_causal(module: nn.Module) -> Iterator[None]:
    """Let attention take `is_causal=length > 1`: torch takes a plain flag there, not a condition on a dynamic size.

    Code that imported the function by name holds its own reference, which is patched as well.
    """
    original = nn.functional.scaled_dot_product_attention

    @functools.wraps(original)
    def attention(*args: Any, **kwargs: Any) -> torch.Tensor:
        args = tuple(_concrete(item) for item in args)
        return original(*args, **{name: _concrete(item) for name, item in kwargs.items()})

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch_attribute(nn.functional, "scaled_dot_product_attention", attention))
        for file in _files(module):
            for name in [name for name, item in vars(file).items() if item is original]:
                stack.enter_context(patch_attribute(file, name, attention))
        yield


def _concrete(item: Any) -> Any:
    return bool(item) if isinstance(item, torch.SymBool) else item


@contextlib.contextmanager
def dynamic_lengths(module: nn.Module) -> Iterator[None]:
    """Keep `len(tensor)` and transformers' `torch_int(size)` dynamic: Python makes plain numbers of them."""

    def length(item: Any) -> Any:
        return item.shape[0] if isinstance(item, torch.Tensor) and item.ndim else len(item)

    with contextlib.ExitStack() as stack:
        for file in _files(module):
            if "len" not in vars(file):
                file.len = length
                stack.callback(delattr, file, "len")
            if callable(original := vars(file).get("torch_int")):
                stack.enter_context(patch_attribute(file, "torch_int", functools.partial(_integer, original)))
        yield


def own_numbers(module: nn.Module, keep_numbers: bool) -> contextlib.AbstractContextManager[None]:
    """Keep `int`, `round`, `min`, `max` and `math` of sizes dynamic. transformers has functions of its own for that."""
    files = _files(module) if keep_numbers else ()
    return dynamic_numbers(file for file in files if not file.__name__.startswith("transformers."))


def _integer(original: Any, number: Any) -> Any:
    return number if isinstance(number, torch.SymInt) else original(number)


def _files(module: nn.Module) -> set[Any]:
    """Return the Python modules, torch's own left out, that define the classes of a module and its submodules."""
    files = {sys.modules.get(type(part).__module__) for part in module.modules()}
    return {file for file in files if file is not None and not file.__name__.startswith("torch.")}


@contextlib.contextmanager
def dynamic_linspace() -> Iterator[None]:
    """Let `torch.linspace` take a dynamic number of steps: torch's own fixes it to the example's."""
    original: Any = torch.linspace  # torch's stubs know no dynamic sizes
    arange: Any = torch.arange

    @functools.wraps(original)
    def linspace(start: Any, end: Any, steps: Any, **options: Any) -> torch.Tensor:
        numbers = (int, float, torch.SymInt, torch.SymFloat)
        is_dynamic = isinstance(steps, torch.SymInt) and all(isinstance(limit, numbers) for limit in (start, end))
        if not is_dynamic:
            return original(start, end, steps, **options)
        places = arange(steps, device=options.get("device"))
        step = (end - start) / (steps - 1)  # as torch: up from the start, then down to the end
        values = torch.where(places < steps // 2, start + step * places, end - step * (steps - 1 - places))
        return values.to(options.get("dtype") or torch.get_default_dtype())

    with patch_attribute(torch, "linspace", linspace):
        yield


@contextlib.contextmanager
def dynamic_tensors() -> Iterator[None]:
    """Let `torch.as_tensor([height, width])` hold dynamic sizes, as `torch.tensor` does while a module is traced."""
    original = torch.as_tensor

    @functools.wraps(original)
    def as_tensor(data: Any, *args: Any, **options: Any) -> torch.Tensor:
        leaves = pytree.tree_leaves(data) if isinstance(data, list | tuple) else []
        is_dynamic = any(isinstance(item, torch.SymInt) for item in leaves)
        return (torch.tensor if is_dynamic else original)(data, *args, **options)

    with patch_attribute(torch, "as_tensor", as_tensor):
        yield


@contextlib.contextmanager
def skip_full_masks() -> Iterator[None]:
    """Make no mask where every token attends to every other and nothing is padded.

    transformers leaves such masks out when it runs, but not while it is traced; and some models refuse them, such as
    Autoformer, whose attention has another length than its tokens.
    """
    masks: Any = sys.modules.get("transformers.masking_utils")
    name = "_ignore_bidirectional_mask_sdpa"
    original = getattr(masks, name, None)
    if original is None:
        yield
        return

    def is_ignored(padding_mask: Any, kv_length: Any, local_attention_size: Any = None) -> bool:
        is_full = padding_mask is None and local_attention_size is None
        return is_full or original(padding_mask, kv_length, local_attention_size)

    with patch_attribute(masks, name, is_ignored):
        yield
