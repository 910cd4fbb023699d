"""Example inputs for Hugging Face models: which are guessed, which are tried first, and what an error asks for."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.sources.example_inputs import (
    candidates,
    field,
    likeliest_first,
    make_tensors,
    missing_input,
    special_tokens,
)


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
    assert missing_input(caught.value, Both(), ["hidden_states"]) == "input_features_mask"
    assert missing_input(caught.value, Both(), ["hidden_states", "input_features_mask"]) is None


class Config(SimpleNamespace):
    """A config of transformers: it may hold configs of its parts."""

    model_type = "test"

    def to_dict(self):
        return vars(self)


def test_fields_are_found_in_configs_inside_a_config():
    config = Config(text=Config(vocab_size=50, image_token_id=7, pad_token_id=3), vision=Config(num_channels=1))
    assert field(config, "n_vocab", "vocab_size") == 50
    assert field(config, "image_size", default=64) == 64
    assert special_tokens(config) == {7, 3}


def test_candidates_follow_the_names_of_forward():
    class Encoder(nn.Module):
        def forward(self, input_ids, attention_mask=None, labels=None):
            pass

    first, second, *_ = candidates(Encoder(), Config(vocab_size=50), batch=2, length=7, image=64)
    assert first == {"input_ids": ("ids", (2, 7)), "attention_mask": ("padded", (2, 7))}
    assert second == {"input_ids": ("ids", (2, 7)), "attention_mask": ("ones", (2, 7))}

    class Images(nn.Module):
        main_input_name = "pixel_values"

        def forward(self, pixel_values):
            pass

    config = Config(image_size={"height": 32, "width": 48}, num_channels=1)
    assert next(candidates(Images(), config, 2, 7, 64)) == {"pixel_values": ("noise", (2, 1, 32, 48))}


def test_tensors_are_of_the_kinds_and_shapes_that_were_chosen():
    shapes = {
        "input_ids": ("ids", (2, 50)),
        "attention_mask": ("padded", (2, 5)),
        "grid_thw": ("grid", (2, 3)),
        "bbox": ("boxes", (2, 9, 4)),
        "is_longer": ("true", (2, 1)),
        "pixel_values": ("noise", (2, 3, 4, 4)),
    }
    config = Config(vocab_size=8, image_token_id=4, pad_token_id=3)
    tensors = make_tensors(shapes, config, seed=0)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {n: s for n, (_, s) in shapes.items()}
    assert set(tensors["input_ids"].flatten().tolist()) == {5, 6, 7}  # neither special tokens nor the first three
    assert tensors["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert tensors["grid_thw"].tolist() == [[1, 4, 4]] * 2
    assert (tensors["bbox"][..., 2:] > tensors["bbox"][..., :2]).all()  # the second corner lies behind the first
    assert tensors["is_longer"].dtype == torch.bool
    again = make_tensors(shapes, config, seed=0)
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())


def test_image_places_come_before_the_text():
    config = Config(vocab_size=50, num_query_tokens=3, image_token_id=9)
    ids = make_tensors({"input_ids": ("ids after image places", (2, 8))}, config, 0)["input_ids"]
    assert ids[:, :3].tolist() == [[9] * 3] * 2 and not (ids[:, 3:] == 9).any()
