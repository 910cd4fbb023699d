"""The machine: BLAS under MLX, devices, threads, dtype policy.

Importing this before `mlx.core` puts a fast BLAS under MLX on a Linux CPU, for any program:

    import pytorch_to_mlx.backend
    import mlx.core as mx

On macOS, with a CUDA build of MLX, or with PYTORCH_TO_MLX_BLAS=off, it changes nothing.
"""

from typing import TYPE_CHECKING

from . import blas

if TYPE_CHECKING:
    from .machine import Machine

blas.prepare()


def describe(*, measure: bool = True) -> "Machine":
    """Describe the machine and what MLX uses of it; `measure` times a matrix product (about 0.3 s)."""
    from .machine import describe

    return describe(measure=measure)


def patch_mlx() -> None:
    """Put the CPU kernels under MLX's own functions and layers, for programs written for MLX alone (mlx-lm, …).

    Call it before importing such a program; `unpatch_mlx()` undoes it. Without kernels, or on a GPU, nothing changes.
    """
    from .patch import patch_mlx

    patch_mlx()


def unpatch_mlx() -> None:
    """Put MLX's own functions back."""
    from .patch import unpatch_mlx

    unpatch_mlx()
