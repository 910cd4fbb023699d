"""Example inputs for Hugging Face models: what is tried first, and what an error asks for."""

from itertools import product

import pytest
from torch import nn

from pytorch_to_mlx.codegen.sources.example_inputs import asked_for, likeliest_first


def test_the_likeliest_choices_come_first_and_all_come():
    counts = (3, 1, 2)
    every = sorted(product(*map(range, counts)), key=lambda choice: (sum(map(bool, choice)), sum(choice)))
    assert list(likeliest_first(counts)) == every
    assert list(likeliest_first((2, 0))) == []
    assert next(likeliest_first((14,) * 12)) == (0,) * 12  # at once, out of 14^12


def test_an_optional_input_is_added_when_an_error_asks_for_it():
    class Both(nn.Module):
        def forward(self, hidden_states, input_features_mask=None, position_ids=None):
            raise ValueError("input_features_mask and position_ids are missing")

    with pytest.raises(ValueError) as caught:
        Both()(1)
    assert asked_for(caught.value, Both(), ["hidden_states"]) == "input_features_mask"
    assert asked_for(caught.value, Both(), ["hidden_states", "input_features_mask"]) is None
