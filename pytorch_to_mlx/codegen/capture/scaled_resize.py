"""Capture images resized by a factor that follows from sizes: torch's ops take plain numbers as factors alone.

`interpolate(x, scale_factor=((h + 0.1) / 16, (w + 0.1) / 16))` is how position embeddings of vision transformers are
fitted to an image.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

LIBRARY = torch.library.Library("pytorch_to_mlx", "FRAGMENT")
LIBRARY.define(
    "resize(Tensor x, SymInt[] output_size, Scalar[] scales, str mode, bool align_corners, bool antialias) -> Tensor"
)
SMOOTH = ("linear", "bilinear", "trilinear", "bicubic")
NEAREST = ("nearest", "nearest-exact")


def resize(
    x: torch.Tensor, output_size: Any, scales: Any, mode: str, align_corners: bool, antialias: bool
) -> torch.Tensor:
    """Resize as torch does by plain factors. Shapes: x [B, C, *S] -> [B, C, *output_size]."""
    corners = align_corners if mode in SMOOTH else None
    factors = [float(scale) for scale in scales]
    return nn.functional.interpolate(x, None, factors, mode, corners, antialias=antialias)


def _shape(x: torch.Tensor, output_size: Any, *options: Any) -> torch.Tensor:
    return x.new_empty((*x.shape[:2], *output_size))


LIBRARY.impl("resize", resize, "CompositeExplicitAutograd")
torch.library.register_fake("pytorch_to_mlx::resize", _shape, lib=LIBRARY)


@contextlib.contextmanager
def dynamic_factors(files: Iterable[ModuleType]) -> Iterator[None]:
    """Let `interpolate` take factors that are computed from sizes, also by the name that files have imported."""
    original = nn.functional.interpolate

    @functools.wraps(original)
    def interpolate(
        input: torch.Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
        align_corners: Any = None, recompute_scale_factor: Any = None, antialias: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        factors = scale_factor if isinstance(scale_factor, list | tuple) else [scale_factor] * (input.ndim - 2)
        is_dynamic = any(isinstance(factor, torch.SymInt | torch.SymFloat) for factor in factors)
        if not is_dynamic or size is not None or recompute_scale_factor or mode not in SMOOTH + NEAREST:
            return original(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
        sizes = [torch.sym_int(n * factor) for n, factor in zip(input.shape[2:], factors, strict=True)]
        return torch.ops.pytorch_to_mlx.resize(input, sizes, factors, mode, bool(align_corners), antialias)

    with contextlib.ExitStack() as stack:
        for home in (nn.functional, *files):
            for name in [name for name, item in vars(home).items() if item is original]:
                setattr(home, name, interpolate)
                stack.callback(setattr, home, name, original)
        yield
