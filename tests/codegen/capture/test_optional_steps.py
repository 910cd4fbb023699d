"""Steps that code takes only where they change something are taken always: the source is right at every size."""

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Windows(nn.Module):
    """Cut an image into windows of 4 · 4, after padding it; put them together and cut the padding off."""

    def forward(self, x):
        height, width = x.shape[1:3]
        pad_b, pad_r = (4 - height % 4) % 4, (4 - width % 4) % 4
        pad_t = 0
        if pad_r > 0 or pad_b > 0:
            x = F.pad(x, (0, 0, 0, pad_r, pad_t, pad_b))
        padded = x.shape[1], x.shape[2]
        windows = x.view(x.shape[0], padded[0] // 4, 4, padded[1] // 4, 4, -1).cumsum(2)
        x = windows.reshape(x.shape[0], *padded, -1)
        if padded[0] > height or padded[1] > width:
            x = x[:, :height, :width, :].contiguous()
        return x


class SameSize(nn.Module):
    """Bring the second image to the size of the first, if it has another."""

    def __init__(self, mode: str, as_sizes: bool):
        super().__init__()
        self.mode, self.as_sizes = mode, as_sizes

    def forward(self, x, y):
        if self.as_sizes:
            if y.shape[-2:] != x.shape[-2:]:
                y = F.interpolate(y, size=x.size()[2:], mode=self.mode)
        elif x.size(2) != y.size(2) or x.size(3) != y.size(3):
            y = F.interpolate(y, (x.size(2), x.size(3)), mode=self.mode)
        return x + y


def in_order(pads):
    return [number for pair in pads[::-1] for number in pair]


class Places(nn.Module):
    """Take rows for the distances to at most 3 neighbours on each side, padded where a text is longer."""

    def __init__(self, form: str):
        super().__init__()
        self.form = form
        self.rows = nn.Parameter(torch.randn(1, 7, 2))

    def forward(self, x):
        pad, start = max(x.shape[1] - 4, 0), max(4 - x.shape[1], 0)
        if self.form == "expression":
            rows = F.pad(self.rows, (0, 0, pad, pad)) if pad > 0 else self.rows
        else:
            rows = self.rows
            if pad > 0:
                padded = F.pad(rows, in_order([[0, 0], [pad, pad], [0, 0]]))
            else:
                padded = rows
            rows = padded
        return x.sum() + rows[:, start : start + 2 * x.shape[1] - 1]


class Other(nn.Module):
    """Steps that change something where they are skipped."""

    def __init__(self, kind: int):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        n = x.shape[1]
        if self.kind == 0 and n % 4 != 0:
            x = F.pad(x, (0, 4 - n % 4))
        if self.kind == 1 and n > 6:
            x = x[:, :6]
        if self.kind == 2 and n % 4 > 0:
            x = x[:, 1:]
        return x * 2


@pytest.mark.parametrize("shape", [(2, 6, 9, 3), (2, 8, 12, 3), (2, 6, 12, 3)])
def test_windows_of_images_that_need_padding_or_none(tmp_path, shape):
    """The right values are PyTorch's, whatever size the example has."""
    module = Windows()
    result = convert(module, tmp_path / "out", example_inputs=torch.randn(shape))
    result.check()
    assert result.fixed == []
    model = load_generated(tmp_path / "out")
    for other in ((1, 8, 8, 3), (3, 5, 12, 3), (2, 12, 7, 1), (1, 3, 2, 5)):
        x = torch.randn(other)
        np.testing.assert_allclose(np.array(model(mx.array(x.numpy()))), module(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form, n", [("else", 9), ("else", 3), ("expression", 9)])
def test_a_step_with_another_name_for_its_result(tmp_path, form, n):
    """As relative positions are written in many synthesizers of speech. The right values are PyTorch's."""
    module = Places(form)
    result = convert(module, tmp_path / "out", example_inputs=torch.randn(2, n))
    result.check()
    assert result.fixed == []
    model = load_generated(tmp_path / "out")
    for length in (2, 4, 5, 20):
        x = torch.randn(1, length)
        expected = module(x).detach().numpy()
        np.testing.assert_allclose(np.array(model(mx.array(x.numpy()))), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode, as_sizes", [("nearest", True), ("bilinear", False), ("bicubic", True)])
@pytest.mark.parametrize("shapes", [((2, 3, 6, 9), (2, 3, 6, 9)), ((2, 3, 6, 9), (2, 3, 4, 5))])
def test_an_image_resized_to_another(tmp_path, mode, as_sizes, shapes):
    """The right values are PyTorch's, whether the example needs the step or not."""
    module = SameSize(mode, as_sizes)
    result = convert(module, tmp_path / "out", example_inputs=tuple(map(torch.randn, shapes)))
    result.check()
    model = load_generated(tmp_path / "out")
    for other in (((1, 3, 5, 8), (1, 3, 5, 8)), ((2, 3, 5, 8), (2, 3, 5, 3)), ((2, 3, 5, 8), (2, 3, 7, 4))):
        x, y = map(torch.randn, other)
        ours = np.array(model(mx.array(x.numpy()), mx.array(y.numpy())))
        np.testing.assert_allclose(ours, module(x, y).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_other_steps_are_questions(tmp_path, kind):
    result = convert(Other(kind), tmp_path / "out", example_inputs=torch.randn(2, 7))
    assert "test_optional_steps.py" in str(result.fixed)
