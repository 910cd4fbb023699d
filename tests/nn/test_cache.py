"""nn/cache.py: what was appended comes back whole and in order, and the arrays grow in steps."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.nn.cache import STEP, KVCache


def test_updates_return_everything_so_far():
    cache = KVCache()
    rows = np.random.default_rng(0).normal(size=(1, 2, 2 * STEP + 3, 4)).astype(np.float32)
    start = 0
    for end in (1, 2, STEP - 1, STEP, STEP + 1, rows.shape[2]):
        keys, values = cache.update(mx.array(rows[:, :, start:end]), mx.array(-rows[:, :, start:end]))
        assert np.array_equal(np.array(keys), rows[:, :, :end]) and np.array_equal(np.array(values), -rows[:, :, :end])
        assert cache.offset == end
        start = end


@pytest.mark.parametrize(("length", "capacity"), [(1, STEP), (STEP, STEP), (STEP + 1, 2 * STEP)])
def test_capacity_is_a_whole_number_of_steps(length, capacity):
    cache = KVCache()
    assert cache.arrays == ()
    cache.update(mx.ones((2, 3, length, 4)), mx.ones((2, 3, length, 5)))
    assert [array.shape for array in cache.arrays] == [(2, 3, capacity, 4), (2, 3, capacity, 5)]


def test_the_dtype_is_that_of_the_keys():
    cache = KVCache()
    keys, values = cache.update(mx.ones((1, 1, 1, 4), mx.bfloat16), mx.ones((1, 1, 1, 4), mx.float16))
    assert (keys.dtype, values.dtype) == (mx.bfloat16, mx.float16)


def test_rows_handed_out_earlier_do_not_change():
    cache = KVCache()
    first, _ = cache.update(mx.full((1, 1, 2, 4), 1.0), mx.zeros((1, 1, 2, 4)))
    cache.update(mx.full((1, 1, 2, 4), 2.0), mx.zeros((1, 1, 2, 4)))
    assert np.array_equal(np.array(first), np.ones((1, 1, 2, 4)))
