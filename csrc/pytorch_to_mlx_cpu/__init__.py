"""A fast BLAS and native CPU kernels under MLX on Linux; `pytorch_to_mlx.backend` uses both where installed."""

from pathlib import Path

__version__ = "0.5.0"

BUILT_FOR_MLX = "0.32.4"
BLAS_LIBRARY = Path(__file__).with_name("libptm_blas.so")


def kernels():
    """Import and return the kernels, a module of functions on mx.array.

    Raises: ImportError if the MLX here is not the version that they were compiled against.
    """
    import mlx.core as mx

    if mx.__version__ != BUILT_FOR_MLX:
        raise ImportError(
            f"pytorch-to-mlx-cpu {__version__} was built for MLX {BUILT_FOR_MLX}, and this is MLX {mx.__version__}"
        )
    from . import _cpu

    return _cpu
