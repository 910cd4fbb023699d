"""What the tests of folders share."""

import mlx.core as mx
import pytest
from weights.folders import CONFIG

from pytorch_to_mlx.weights import write_folder


@pytest.fixture
def weights():
    """One array of each kind that a folder can hold."""
    return {
        "a.weight": mx.random.normal((40, 30)),
        "b": mx.random.normal((7,)).astype(mx.bfloat16),
        "c": mx.random.normal((3, 5)).astype(mx.float16).T,
        "ids": mx.array([[1, -2]]),
        "packed": mx.array([1, 2], mx.uint32),
        "empty": mx.zeros((0, 4)),
        "one": mx.array(3.5),
        "mask": mx.array([True, False]),
    }


@pytest.fixture
def old(tmp_path):
    """A converted folder that is to be replaced."""
    return write_folder(tmp_path / "out", config=CONFIG, weights={"old": mx.ones(4)})
