"""Memory that is free, and that the process keeps."""

import ctypes
import sys


def give_back() -> None:
    """Return to the system what MLX and malloc keep for later: for between two works of different sizes.

    The holes that one work leaves are seldom of the sizes that the next one asks for, so that memory would grow from
    work to work although no more of it is in use.
    """
    import mlx.core as mx

    mx.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:  # of glibc alone
        trim(0)
