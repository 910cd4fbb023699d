"""codegen/proof/float64.py: a module on float32 weights gives the values of one that was converted to float64."""

import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from pytorch_to_mlx.codegen.proof.float64 import Float64View, float64_module, separate_module, to_dense, to_float64
from pytorch_to_mlx.codegen.proof.outputs import reference_outputs


class Direct(nn.Module):
    """Weights used without a layer, transposed, cut, by dtype and beside others."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(6, 4))
        self.register_buffer("steps", torch.arange(4))

    def forward(self, x):
        x = x.to(self.table.dtype) @ self.table.t()[:, 1:5] + self.table[0] * self.table.chunk(3)[1][1]
        return torch.cat([x, self.table[self.steps]]), x * self.steps


TINY = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CASES = {
    "direct": (Direct, lambda: torch.randn(3, 4)),
    "lstm": (lambda: nn.LSTM(4, 6, 2, bidirectional=True), lambda: torch.randn(5, 2, 4)),
    "convolutions": (lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 2, 4)),
                     lambda: torch.randn(2, 4, 9)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda: torch.randn(2, 5, 8)),
    "bert": (lambda: BertModel(BertConfig(**TINY)), lambda: torch.randint(0, 30, (2, 7))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_a_module_in_float64(name):
    torch.manual_seed(0)
    build, inputs = CASES[name]
    module, x = build().eval(), inputs()
    wide_x = x.double() if x.is_floating_point() else x
    expected = torch.utils._pytree.tree_leaves(copy.deepcopy(module).double()(wide_x))
    with torch.no_grad():
        outputs = torch.utils._pytree.tree_leaves(float64_module(module)(wide_x))
    for ours, theirs in zip(outputs, expected, strict=True):
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-14, atol=1e-14)


def test_weights_are_not_copied():
    module = nn.Linear(4, 4)
    weight = float64_module(module).weight
    assert isinstance(weight, Float64View) and weight.stored.data_ptr() == module.weight.data_ptr()


def test_a_tree_is_widened_once_and_made_dense():
    ids, x, z = torch.arange(3), torch.randn(3), torch.randn(3, dtype=torch.complex64)
    (wide_ids, wide_x), rest = to_float64(((ids, x), {"z": z, "n": 2}))
    assert wide_ids.dtype == torch.int64 and rest["n"] == 2
    assert torch.equal(wide_x, x.double()) and torch.equal(rest["z"], z.to(torch.complex128))
    dense = to_dense([Float64View(x), None])
    assert type(dense[0]) is torch.Tensor and torch.equal(dense[0], x.double()) and dense[1] is None


def test_writing_into_a_view_is_refused():
    with pytest.raises(RuntimeError, match="stored in float32"):
        Float64View(torch.ones(2)).add_(1)


def test_a_module_that_changes_its_buffer_keeps_its_own():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(2))

        def forward(self, x):
            self.seen += x.sum(0)
            return self.seen / 3

    module = Counting()
    plain, wide = reference_outputs(module, (torch.full((3, 2), 0.1),), {})
    assert wide is not None and wide[0].dtype == torch.float64
    torch.testing.assert_close(wide[0], torch.full((2,), 0.1, dtype=torch.float64), rtol=1e-6, atol=0)
    assert plain[0].dtype == torch.float32 and torch.equal(plain[0], module(torch.full((3, 2), 0.1)))


class Normed(nn.Module):
    """Its second layer is for training: the weight that weight_norm computed for it still belongs to autograd."""

    def __init__(self):
        super().__init__()
        self.layer = nn.utils.weight_norm(nn.Linear(3, 4))
        self.posterior = nn.utils.weight_norm(nn.Linear(3, 4))

    def forward(self, x):
        return self.layer(x)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_a_module_with_weights_that_autograd_computed():
    """The right value is that of the same layer with its norm removed, in float64."""
    module = Normed().eval()
    x = torch.randn(5, 3)
    _, float64 = reference_outputs(module, (x,), {})
    plain = nn.utils.remove_weight_norm(module.layer)
    assert float64 is not None
    torch.testing.assert_close(float64[0], plain.double()(x.double()))
    assert separate_module(Normed().eval())(x.double()).dtype == torch.float64


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(6, 6, 12, stride=2, padding=5, groups=6),
        nn.Conv1d(6, 6, 3, dilation=4, groups=6, bias=False),
        nn.ConvTranspose1d(6, 6, 12, stride=2, padding=3, output_padding=1, groups=6),
        nn.ConvTranspose1d(6, 6, 2, stride=3, dilation=2, groups=6, bias=False),
        nn.Conv2d(6, 6, (3, 5), stride=(1, 2), padding=(0, 2), groups=6),
        nn.Conv2d(6, 12, 3, groups=6),
    ],
)
def test_a_depthwise_convolution_is_what_pytorch_computes(layer):
    """Right is PyTorch's own float64 convolution on widened weights."""
    torch.manual_seed(0)
    x = torch.randn(2, 6, *(15, 13)[: layer.weight.ndim - 2], dtype=torch.float64)
    with torch.no_grad():
        ours = float64_module(layer)(x)
        torch.testing.assert_close(ours, copy.deepcopy(layer).double()(x), rtol=1e-14, atol=1e-14)
