"""Time generated source beside PyTorch and, where a family has one, beside the hand-written port."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import torch
from torch.utils import _pytree as pytree

from ... import registry
from ...backend import describe, patch_mlx, unpatch_mlx
from ...codegen.capture.tensors import to_mlx
from ...codegen.convert_module import convert_module, load_generated
from ...codegen.emit.signature import model_arguments
from ...codegen.sources.module_source import ModuleSource
from ..measure import measure_interleaved
from .cost import bert, first_difference, vit

RUNS = 5
Part = tuple[torch.nn.Module, tuple, dict[str, torch.Tensor], Callable[[], Any] | None]
"""A module, its args and kwargs, and a call of the port on the same inputs."""


def parts() -> dict[str, Callable[[], Part]]:
    """Return what builds each module of the suite: at the size of the real model, with random weights."""
    builders: dict[str, Callable[[], Part]] = {
        "BERT base (2 x 9 tokens)": lambda: _without_port(*bert()),
        "ViT-B/16 (2 images)": lambda: _without_port(*vit()),
    }
    for family in registry.names():
        builders |= registry.family(family).reference_parts()
    return builders


def _without_port(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Part:
    return module, (), inputs, None


def measure_runtime(name: str) -> dict[str, Any]:
    """Return the median milliseconds of a call of each side, measured interleaved.

    The sides are PyTorch, generated source on the fast BLAS, the same with the kernels under MLX's functions
    (`patch_mlx`), and the port.
    """
    torch.manual_seed(0)
    original, args, kwargs, port = parts()[name]()
    module = original.eval()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        conversion = convert_module(ModuleSource(module, args, kwargs), Path(folder) / "mlx")
        model = load_generated(Path(folder) / "mlx")
    convert_cpu_s = time.process_time() - start
    return {
        "name": name,
        "ok": conversion.ok,
        "reason": first_difference(conversion),
        "convert_cpu_s": convert_cpu_s,
        "milliseconds": milliseconds(module, model, args, kwargs, port),
    }


def milliseconds(
    module: torch.nn.Module,
    model: Callable[..., Any],
    args: tuple,
    kwargs: Mapping[str, Any],
    port: Callable[[], Any] | None = None,
) -> dict[str, float]:
    """Return the median milliseconds of a call of each side, measured interleaved, on all threads of the kernels."""
    torch.set_num_threads(describe(measure=False).threads)
    arguments = pytree.tree_map_only(torch.Tensor, to_mlx, model_arguments(args, kwargs))

    def call_torch() -> None:
        with torch.inference_mode():
            module(*args, **kwargs)

    def call_patched() -> None:
        patch_mlx()
        try:
            mx.eval(model(*arguments))
        finally:
            unpatch_mlx()

    sides = {"torch": call_torch, "generated": lambda: model(*arguments), "patched": call_patched}
    if port:
        sides["port"] = port
    return {side: 1000 * timing.wall_s for side, timing in measure_interleaved(sides, runs=RUNS).items()}
