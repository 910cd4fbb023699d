"""Counting NaN and Inf by their bits gives what numpy's isfinite gives, for every half-precision number there is."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.weights.numbers import nonfinite


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_every_half_precision_number(dtype):
    every = mx.array(np.arange(1 << 16, dtype=np.uint16)).view(dtype)
    wide = np.array(every.astype(mx.float32))
    assert nonfinite(every) == np.count_nonzero(~np.isfinite(wide)) > 0
    assert nonfinite(every[mx.array(np.flatnonzero(np.isfinite(wide)))]) == 0
    for at in np.flatnonzero(~np.isfinite(wide))[:: 1 << 8]:
        assert nonfinite(every[int(at)]) == 1


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3, 2)])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16, mx.int32, mx.bool_])
def test_shapes(shape, dtype):
    assert nonfinite(mx.zeros(shape, dtype)) == 0
    assert nonfinite(mx.zeros(shape, dtype).T) == 0
    if mx.issubdtype(dtype, mx.floating):
        assert nonfinite(mx.full(shape, float("inf"), dtype)) == int(np.prod(shape))
