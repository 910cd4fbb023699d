"""Layers and idioms of users' code: masks of transformers, elements picked by masks, experts, sizes read from tensors.

The right values are PyTorch's own, at the sizes of the example and at others; of nn.TransformerEncoder they are those
of enable_nested_tensor=False.
"""

import math

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn
from toy_assertions import negated

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.capture.tensors import to_mlx
from pytorch_to_mlx.codegen.convert_module import load_generated


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class Encoder(nn.Module):
    """Twice the same layers: as torch makes them, with nested tensors, and without. `plain` is what is right."""

    def __init__(self, nested=True):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)

    def forward(self, x, padding):
        return self.layers(x, src_key_padding_mask=padding)


class CausalInside(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x):
        length = x.shape[1]
        return self.layers(x, mask=torch.triu(torch.full((length, length), -math.inf), 1))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)

    def forward(self, source, target, mask, padding):
        return self.layers(source, target, tgt_mask=mask, memory_key_padding_mask=padding)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 4), nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])

    def forward(self, x):
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == i)
            if rows.numel() == 0:
                continue
            out.index_add_(0, rows, expert(x[rows]) * weights[rows, places, None])
        return out


def check(module, folder, example, other):
    """Convert on one example; compare on both with PyTorch."""
    torch.manual_seed(0)
    convert(module.eval(), folder, example_inputs=example).check()
    model = load_generated(folder)
    for inputs in (example, other):
        with torch.no_grad():
            right = module(*[x.clone() for x in inputs])
        ours = model(*map(to_mlx, inputs))
        np.testing.assert_allclose(np.array(ours), right.numpy(), rtol=1e-4, atol=1e-5)


def padding(lengths, longest):
    return torch.arange(longest) >= torch.tensor(lengths)[:, None]


def test_an_encoder_with_a_padding_mask(tmp_path):
    example = torch.randn(2, 5, 16), padding([5, 3], 5)
    convert(Encoder().eval(), tmp_path / "out", example_inputs=example).check()
    assert torch.backends.mha.get_fastpath_enabled()
    for x, mask in (example, (torch.randn(3, 7, 16), padding([2, 7, 4], 7))):
        with torch.no_grad():
            right = Encoder(nested=False).eval()(x, mask).numpy()
        ours = np.array(load_generated(tmp_path / "out")(to_mlx(x), to_mlx(mask)))
        np.testing.assert_allclose(ours, right, atol=1e-5)


def test_a_causal_mask_made_inside(tmp_path):
    check(CausalInside(), tmp_path / "out", (torch.randn(2, 5, 16),), (torch.randn(3, 7, 16),))


@pytest.mark.parametrize("kind", ["causal", "free"])
def test_a_mask_as_an_input_of_a_decoder(tmp_path, kind):
    """The mask of the second call is another than the example's: the source uses it, whatever its values."""

    def inputs(batch, length, other, causal):
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        mask = mask if causal else mask.T
        lengths = [other, *[other - 2] * (batch - 1)]
        return torch.randn(batch, other, 16), torch.randn(batch, length, 16), mask, padding(lengths, other)

    check(Translator(), tmp_path / "out", inputs(2, 4, 5, kind == "causal"), inputs(3, 6, 7, kind != "causal"))


def rows_added_to(x, labels, w):
    y = x.clone()
    y[labels == -1] = 0.0
    y[labels == -1] += w
    return y


def copied(a, w, b):
    w = w.clone()
    w[a > 0.5] = b[a > 0.5]
    return w


def sizes_through_a_tensor(x):
    height, width = torch.tensor([x.shape[2], x.shape[3]]).tolist()
    return x.flatten(2) + (torch.arange(height)[:, None] + torch.arange(width)[None]).flatten()


def sizes_given(x, shape):
    height, width = shape.tolist()
    return x + (torch.arange(height)[:, None] + torch.arange(width)[None]).flatten()


def rows_of_sizes(x):
    return torch.as_tensor([[x.shape[0], x.shape[1]], [x.shape[1], 1]]) * 2


def positive(x):
    return x[x > 0] * (x > 0).nonzero().shape[0]


LABELS = torch.tensor([[1, 0, 1], [1, -1, 0]]), torch.tensor([[-1, 0, 1, -1], [1, -1, 0, 1]])
CASES = [
    (
        rows_added_to,
        (torch.randn(2, 3, 8), LABELS[0], torch.randn(8)),
        (torch.randn(2, 4, 8), LABELS[1], torch.ones(8)),
    ),
    (copied, tuple(torch.rand(3, 4, 5)), tuple(torch.rand(3, 6, 7))),
    (sizes_through_a_tensor, (torch.randn(2, 3, 4, 8),), (torch.randn(2, 3, 6, 5),)),
    (sizes_given, (torch.randn(2, 3, 32), torch.tensor([4, 8])), (torch.randn(2, 3, 30), torch.tensor([6, 5]))),
    (rows_of_sizes, (torch.randn(3, 4),), (torch.randn(6, 5),)),
    (positive, (torch.randn(3, 4),), (-torch.rand(5, 2),)),
]


@pytest.mark.parametrize("function, example, other", CASES, ids=[case[0].__name__ for case in CASES])
def test_sizes_that_depend_on_data(tmp_path, function, example, other):
    check(Function(function), tmp_path / "out", example, other)


def test_experts_by_where_without_rows_too(tmp_path):
    module = Experts()
    check(module, tmp_path / "out", (torch.randn(9, 8),), (torch.randn(1, 8).expand(13, 8),))


def test_a_number_read_for_an_assertion_leaves_no_source(tmp_path):
    result = convert(Function(negated), tmp_path / "out", example_inputs=torch.randn(2, 5))
    line = f"toy_assertions.py:{negated.__code__.co_firstlineno + 1}: assert not torch.isnan(x).any(), 'nan'"
    assert result.dropped == [line] and line in result.summary()
    assert line in (tmp_path / "out" / "report.md").read_text()
    assert "isnan" not in (tmp_path / "out" / "model.py").read_text()
    assert load_generated(tmp_path / "out")(mx.ones([3, 4])).shape == (3, 4)
