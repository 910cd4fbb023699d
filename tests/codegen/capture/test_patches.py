"""What torch.export would fix or refuse, and this project captures: recurrent layers, conditions on sizes as flags."""

import time

import pytest
import torch
import transformers
from torch import nn
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.nn.functional import scaled_dot_product_attention
from transformers import masking_utils

from pytorch_to_mlx.codegen import convert
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.patches import patch_attribute, traceable


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 8, 2, batch_first=True, **options)

    def forward(self, x):
        return self.rnn(x)[0]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_the_length_of_a_recurrent_layer_stays_dynamic(kind, tmp_path):
    before = {op: dict(getattr(torch.ops.aten, op).input.py_kernels) for op in ("lstm", "gru")}
    torch.manual_seed(0)
    result = convert(Recurrent(kind, bidirectional=kind == "GRU"), tmp_path / "out", (torch.randn(2, 7, 5),))
    result.check()
    assert "=9" in result.outputs[1]["size"], result.outputs
    assert before == {op: dict(getattr(torch.ops.aten, op).input.py_kernels) for op in ("lstm", "gru")}


class Sampled(nn.Module):
    def forward(self, x, grid):
        bigger = nn.functional.interpolate(x, scale_factor=2, mode="bicubic")
        y = nn.functional.grid_sample(bigger, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        return nn.functional.interpolate(y, size=(x.shape[2] + 1, x.shape[3]), mode="bilinear")


class Pooled(nn.Module):
    """Pools of every 1-d form, as the convolution banks of speech synthesizers cut them."""

    def forward(self, x):
        same = nn.functional.max_pool1d(x, 2, stride=1, padding=1)[:, :, : x.size(-1)]
        return same + x, nn.functional.max_pool1d(x[0], 3, ceil_mode=True), nn.functional.max_pool1d(x, 2, dilation=2)


def test_the_length_of_max_pool1d_stays_dynamic(tmp_path):
    """The right values are PyTorch's."""
    result = convert(Pooled(), tmp_path / "out", example_inputs=torch.randn(2, 4, 9))
    result.check()
    assert result.fixed == [] and len(set(result.varied["x[2]"])) > 1


def test_bicubic_images_are_one_op_each(tmp_path):
    """torch computes them op by op to find their shapes, which took 15 s of CPU; the right values are its own."""
    inputs = torch.randn(2, 3, 7, 5), torch.rand(2, 4, 6, 2) * 2 - 1
    capture(nn.ReLU(), (torch.randn(2, 3),))  # what is imported at the first capture is not counted
    start = time.process_time()
    ops = [node.op for node in capture(Sampled(), inputs).graph.nodes if node.op.startswith("aten.")]
    assert time.process_time() - start < 4
    assert sorted(ops)[0] == "aten.grid_sampler.default" and sum("upsample" in op for op in ops) == 2
    result = convert(Sampled(), tmp_path / "out", inputs)
    result.check()
    assert len(result.outputs) > 1


class Causal(nn.Module):
    def forward(self, x):
        return scaled_dot_product_attention(x, x, x, is_causal=x.shape[-2] > 1)


def test_causality_that_depends_on_a_size(tmp_path):
    torch.manual_seed(0)
    result = convert(Causal(), tmp_path / "out", (torch.randn(2, 3, 7, 8),))
    result.check()
    assert scaled_dot_product_attention is nn.functional.scaled_dot_product_attention
    assert Causal.forward.__globals__["scaled_dot_product_attention"] is scaled_dot_product_attention


class Grid(nn.Module):
    def forward(self, x):
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 5), indexing="ij")
        return x * rows + columns


class Dropped(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.dropout = getattr(nn, kind)(0.1)

    def forward(self, x):
        z = 2 * x
        y = self.dropout(z)
        y += 1
        return z, nn.functional.alpha_dropout(z, 0.2).mul_(3), z


@pytest.mark.parametrize("kind", ["Dropout", "Dropout1d", "AlphaDropout"])
def test_what_is_written_into_an_idle_dropouts_result_is_in_its_input(kind, tmp_path):
    """In eval mode both are one tensor: right is PyTorch's 6 * x + 3, which the proof compares with."""
    torch.manual_seed(0)
    convert(Dropped(kind).eval(), tmp_path / "out", (torch.randn(2, 7, 5),)).check()


def test_constant_lists_are_made_once(tmp_path):
    result = convert(Grid(), tmp_path / "out", (torch.randn(2, 4, 5),))
    result.check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert "meshgrid" in source.partition("def __call__")[0]


class Ramp(nn.Module):
    def forward(self, x):
        x = nn.functional.max_pool2d(x, 2)
        height, width = x.shape[-2:]
        down = torch.linspace(0.5, height - 0.5, height, dtype=x.dtype)
        return x * down[:, None] + torch.linspace(-1, 1, width)


def test_linspace_takes_dynamic_sizes(tmp_path):
    result = convert(Ramp(), tmp_path / "out", (torch.randn(2, 3, 10, 14),))
    result.check()
    assert result.outputs[1]["size"], result.outputs
    x = torch.randn(2, 3, 10, 14)
    captured = capture(Ramp(), (x,))
    torch.testing.assert_close(captured.program.module()(x), Ramp()(x), rtol=3e-7, atol=3e-7)  # as torch's own


class Lengths(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1) * len(x.shape)


def test_the_length_of_a_tensor_is_a_size(tmp_path):
    result = convert(Lengths(), tmp_path / "out", (torch.randn(2, 3, 4),))
    result.check()
    assert "=3" in result.outputs[1]["size"], result.outputs
    assert "len" not in Lengths.forward.__globals__


def test_conditions_between_sizes_are_not_written_out():
    """sympy cannot solve what visformer's strides ask; torch wants the answer for messages alone."""
    produced = ShapeEnv.produce_guards
    with traceable(nn.Linear(2, 2)):
        assert ShapeEnv.produce_guards is not produced
    assert ShapeEnv.produce_guards is produced


class RefusesMask(nn.Module):
    """Attention that refuses a mask, as Autoformer's where its length is not that of the tokens."""

    def forward(self, x):
        config = transformers.BertConfig(attn_implementation="sdpa")
        mask = masking_utils.create_bidirectional_mask(config=config, inputs_embeds=x, attention_mask=None)
        assert mask is None
        return x * 2


def test_no_mask_where_everything_is_attended_to():
    original = masking_utils._ignore_bidirectional_mask_sdpa
    capture(RefusesMask(), (torch.randn(2, 3, 8),))
    assert masking_utils._ignore_bidirectional_mask_sdpa is original


def test_a_cast_that_changes_nothing_is_skipped():
    class Casting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear.to(x.dtype)(x)

    graph = capture(Casting(), (torch.randn(2, 3),)).graph
    assert [node.op for node in graph.nodes if node.op.startswith("aten")] == ["aten.linear.default"]


def test_attributes_are_restored_even_after_an_error():
    class Home:
        value = 1

    with pytest.raises(KeyError), patch_attribute(Home, "value", 2):
        assert Home.value == 2
        raise KeyError
    assert Home.value == 1
