"""The helper functions by name, and a user's beside them."""

import pytest

from pytorch_to_mlx.codegen.lowering import functions
from pytorch_to_mlx.codegen.lowering.functions.axes import flip
from pytorch_to_mlx.errors import UsageError


def twice(x):
    return x + x


def test_a_user_s_function_is_found_beside_ours(monkeypatch):
    monkeypatch.setattr(functions, "_USER_FUNCTIONS", {})
    assert functions.find("flip") is flip
    with pytest.raises(AttributeError, match="no helper function twice"):
        functions.find("twice")
    functions.add(twice)
    assert functions.find("twice") is twice


def test_a_user_s_function_cannot_take_the_name_of_ours(monkeypatch):
    monkeypatch.setattr(functions, "_USER_FUNCTIONS", {})
    twice.__name__ = "flip"
    with pytest.raises(UsageError, match="a helper function 'flip' already"):
        functions.add(twice)
    twice.__name__ = "twice"
