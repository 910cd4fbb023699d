"""How fast generated source is: beside PyTorch and, where this project has one, beside the hand-written port."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import mlx.core as mx
import torch

from ...backend import describe, patch_mlx, unpatch_mlx
from ...codegen.capture.tensors import to_mlx
from ...codegen.convert_module import convert_module, load_generated
from ...codegen.sources.module_source import ModuleSource
from ...registry import part
from .cost import bert, first_difference, vit

RUNS = 5
FAMILIES = ("kokoro", "whisper")  # whose reference_parts.py has modules beside their ports
Part = tuple[torch.nn.Module, tuple, dict[str, torch.Tensor], Callable[[], Any] | None]


def parts() -> dict[str, Callable[[], Part]]:
    """Every module that is measured: at the size of the real model, with random weights."""
    found: dict[str, Callable[[], Part]] = {
        "BERT base (2 x 9 tokens)": lambda: _without_port(*bert()),
        "ViT-B/16 (2 images)": lambda: _without_port(*vit()),
    }
    for family in FAMILIES:
        found |= part(family, "reference_parts").PARTS
    return found


def _without_port(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Part:
    return module, (), inputs, None


def measure_runtime(name: str) -> dict[str, Any]:
    """Median milliseconds of a call, the sides taking turns: PyTorch, the generated source on the fast BLAS, the same
    with the kernels under MLX's functions (`patch_mlx`), and the port."""
    torch.set_num_threads(describe(measure=False).threads)
    torch.manual_seed(0)
    original, args, kwargs, port = parts()[name]()
    module = original.eval()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = convert_module(ModuleSource(module, args, kwargs), Path(folder) / "mlx")
        model = load_generated(Path(folder) / "mlx")
    converted = time.process_time() - start
    given, named = [to_mlx(x) for x in args], {key: to_mlx(x) for key, x in kwargs.items()}

    def pytorch() -> None:
        with torch.inference_mode():
            module(*args, **kwargs)

    def patched() -> None:
        patch_mlx()
        try:
            mx.eval(model(*given, **named))
        finally:
            unpatch_mlx()

    sides = {"torch": pytorch, "generated": lambda: mx.eval(model(*given, **named)), "patched": patched}
    if port:
        sides["port"] = lambda: mx.eval(port())
    return {
        "name": name,
        "ok": done.ok,
        "reason": first_difference(done),
        "convert_cpu_s": converted,
        "milliseconds": _in_turns(sides),
    }


def _in_turns(sides: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Medians of RUNS calls after one that is not counted."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(RUNS + 1):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            took[name].append(1000 * (time.perf_counter() - start))
    return {name: median(times[1:]) for name, times in took.items()}
