"""nn/cache.py: what was appended comes back whole and in order, and the arrays grow in steps."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.nn.cache import FEW, STEP, DecoderState, KVCache, LayerState, RowMemory


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


def test_row_memory_holds_each_token_where_it_was_written():
    """It grows in time and, when sequences become several beams, in rows; what was written stays."""
    memory, rng = RowMemory(), np.random.default_rng(0)
    expected = np.zeros((3 * FEW, 4, 6), np.float32)
    time = 0
    for n_rows, length in ((2, 3), (4, 1), (4, FEW), (3, 1), (4, FEW)):
        new = rng.normal(size=(n_rows, length, 6)).astype(np.float32)
        expected[time : time + length, :n_rows] = new.swapaxes(0, 1)
        every = np.array(memory.append(mx.array(new), time))
        time += length
        np.testing.assert_array_equal(every[:time], expected[:time, : every.shape[1]])


def state(n_sentences=3, n_rows=6) -> DecoderState:
    """Two layers whose numbers name their row: 10 · layer + row in a cell, and 100 + sentence for the source."""

    def numbered(start, count):
        return mx.arange(start, start + count).reshape(count, 1, 1, 1) * mx.ones((count, 2, 3, 4))

    cross = numbered(100, n_sentences)
    layers = [LayerState(numbered(10 * n, n_rows), cross, cross) for n in range(2)]
    rows = np.arange(n_rows * 3, dtype=np.int32).reshape(n_rows, 3)
    return DecoderState(tuple(layers), mx.arange(n_sentences).reshape(-1, 1, 1, 1) > 0, rows)


def numbers(array) -> list[int]:
    return np.array(array).reshape(array.shape[0], -1)[:, 0].astype(int).tolist()


def test_sentences_leave_and_beams_move():
    """Rows of the text go where they are named, rows of the source by sentence; nothing else changes."""
    moved = state().select([0, 2], [1, 1, 5, 4])
    for n, layer in enumerate(moved.layers):
        assert numbers(layer.past) == [10 * n + row for row in (1, 1, 5, 4)]
        assert numbers(layer.cross_k) == numbers(layer.cross_v) == [100, 102]
    assert np.array(moved.mask).ravel().tolist() == [False, True] and moved.offset == 3
    assert moved.rows.tolist() == [[3, 4, 5], [3, 4, 5], [15, 16, 17], [12, 13, 14]]
    assert moved.extended(4, 2)[:, 3:].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_what_stays_is_not_copied():
    before = state()
    after = before.select([0, 1, 2], [0, 1, 2, 3, 4, 5])
    assert after.layers[1].past is before.layers[1].past and after.layers[0].cross_k is before.layers[0].cross_k
    first = DecoderState((LayerState(None, mx.ones((2, 1)), mx.ones((2, 1))),), None)
    assert first.select([1], [1]).layers[0].past is None and first.select([1], [1]).mask is None
    memory = RowMemory()
    kept = DecoderState((LayerState(memory, mx.ones((2, 1)), mx.ones((2, 1))),), None, np.zeros((2, 1), np.int32))
    assert kept.select([0, 1], [1, 1]).layers[0].past is memory
