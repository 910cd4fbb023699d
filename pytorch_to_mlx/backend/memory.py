"""Free memory that the process holds on to."""

import ctypes
import sys


def release_cached_memory() -> None:
    """Return to the system the free memory that MLX and malloc hold for reuse, between tasks of different sizes.

    The blocks that one task frees seldom have the sizes that the next one needs, so without this the process would grow
    from task to task although no more memory is in use.
    """
    import mlx.core as mx

    mx.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:  # only glibc has it
        trim(0)
