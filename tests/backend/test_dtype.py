"""The dtype policy: half precision is for storage on a CPU, and for arithmetic too on a GPU."""

import mlx.core as mx
import pytest

from pytorch_to_mlx.backend import dtype
from pytorch_to_mlx.backend.dtype import compute_dtype


@pytest.mark.parametrize("stored", [mx.float16, mx.bfloat16])
def test_half_precision_computes_in_float32_on_a_cpu_only(monkeypatch, stored):
    monkeypatch.setattr(dtype, "on_cpu", lambda: True)
    assert compute_dtype(stored) == mx.float32
    monkeypatch.setattr(dtype, "on_cpu", lambda: False)
    assert compute_dtype(stored) == stored


@pytest.mark.parametrize("cpu", [True, False])
def test_other_dtypes_stay(monkeypatch, cpu):
    monkeypatch.setattr(dtype, "on_cpu", lambda: cpu)
    assert [compute_dtype(stored) for stored in (mx.float32, mx.int64, mx.uint8)] == [mx.float32, mx.int64, mx.uint8]


def test_on_cpu_follows_mlx():
    device = mx.default_device()
    try:
        mx.set_default_device(mx.cpu)
        assert dtype.on_cpu()
    finally:
        mx.set_default_device(device)
    assert dtype.on_cpu() == (device == mx.Device(mx.cpu))
