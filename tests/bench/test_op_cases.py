"""Both sides of every case of `benchmark ops` do the same work: small ones are compared with PyTorch."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.backend import plain
from pytorch_to_mlx.bench.op_cases import OP_CASES, channels_first, positive

# Not the LSTMs and quantized layers: PyTorch's LSTM computes its gates from other inputs, its linear layer is float32.
SMALL = [
    case
    for case in OP_CASES
    if case.flops < 2e8 and case.bytes < 2e7 and "lstm" not in case.name and "bits" not in case.name
]


def test_names_are_unique():
    assert len({case.name for case in OP_CASES}) == len(OP_CASES)


def test_floors_are_positive():
    assert all(case.bytes > 0 for case in OP_CASES)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_sides_agree(case):
    arrays = case.arrays()
    ours = case.ours(plain, *map(mx.array, arrays))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in case.to_torch(arrays)]
    reference = case.torch(torch, *tensors)
    if isinstance(ours, mx.array):
        ours, reference = [ours], [reference]
    tolerance = 1e-2 if arrays[0].dtype == np.float16 else 1e-4
    for got, expected in zip(ours, reference, strict=True):
        got, expected = np.array(got, dtype=np.float32), expected.float().numpy()
        if got.shape != expected.shape:
            got = got.swapaxes(-1, -2) if got.ndim == 3 else got.transpose(0, 3, 1, 2)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_layouts_and_signs_of_arrays():
    first, alpha = positive((1, 5, 3), (3,))()
    assert first.min() < 0 < 0.3 < alpha.min()
    assert [a.shape for a in channels_first([first, alpha])] == [(1, 3, 5), (3,)]
