"""Images that a model takes, and the arguments that its class was given. timm itself is not needed."""

import pytest
import torch
from torch import nn

from pytorch_to_mlx.bench.coverage.timm_models import image_cases, record_arguments


class FixedSize(nn.Module):
    def forward(self, image):
        assert image.shape[2:] == (96, 96)
        return image


def shapes(model, size):
    return [tuple(args[0].shape) for args, _ in image_cases(model, size)]


def test_any_image_will_do():
    others = [(3, 3, 192, 160), (3, 3, 224, 256), (3, 3, 224, 224), (3, 3, 160, 192)]
    assert shapes(nn.Identity(), 224) == [(2, 3, 160, 192), *others]


def test_a_model_of_one_size_is_tried_with_another_batch():
    assert shapes(FixedSize(), 96) == [(2, 3, 96, 96), (3, 3, 96, 96), (3, 3, 96, 96)]
    assert shapes(FixedSize(), 224) == []


class Model(nn.Module):
    def __init__(self, depths, img_size=224, **rest):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        if len(depths) > 4:
            raise ValueError("too deep")


def test_arguments_are_recorded_by_name_with_defaults():
    original = Model.__init__
    with record_arguments(Model) as arguments:
        model = Model((2, 2), drop=0.5)
    assert {**arguments, "self": None} == {"self": None, "depths": (2, 2), "img_size": 224, "rest": {"drop": 0.5}}
    assert isinstance(model.layer, nn.Linear) and Model.__init__ is original


def test_the_class_is_restored_after_an_error():
    original = Model.__init__
    with pytest.raises(ValueError, match="too deep"), record_arguments(Model):
        Model((1,) * 5)
    assert Model.__init__ is original and torch.is_grad_enabled()
