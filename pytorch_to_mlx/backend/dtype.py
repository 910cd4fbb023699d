"""The dtype policy: on a CPU store small and compute in float32; on a GPU compute in what is stored."""

import mlx.core as mx


def on_cpu() -> bool:
    """Return whether MLX computes on the CPU by default."""
    return mx.default_device() == mx.Device(mx.cpu)


def compute_dtype(stored: mx.Dtype) -> mx.Dtype:
    """Return the dtype to compute in with weights of dtype `stored`.

    MLX's CPU kernels are 5 to 20 times slower in float16 than in float32; Metal and CUDA are faster in half precision.
    """
    return mx.float32 if stored in (mx.float16, mx.bfloat16) and on_cpu() else stored
