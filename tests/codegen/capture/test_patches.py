"""What torch.export would fix or refuse, and this project captures: recurrent layers, conditions on sizes as flags."""

import pytest
import torch
import transformers
from torch import nn
from torch._subclasses.fake_impls import op_implementations_dict
from torch.fx.experimental.symbolic_shapes import ShapeEnv, guard_or_false, guard_or_true
from torch.nn.functional import scaled_dot_product_attention
from transformers import masking_utils

from pytorch_to_mlx.codegen import convert
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.patches import traceable


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
    done = convert(Recurrent(kind, bidirectional=kind == "GRU"), tmp_path / "out", (torch.randn(2, 7, 5),))
    done.check()
    assert "=9" in done.outputs[1]["size"], done.outputs
    assert before == {op: dict(getattr(torch.ops.aten, op).input.py_kernels) for op in ("lstm", "gru")}


class Causal(nn.Module):
    def forward(self, x):
        return scaled_dot_product_attention(x, x, x, is_causal=x.shape[-2] > 1)


def test_causality_that_depends_on_a_size(tmp_path):
    torch.manual_seed(0)
    done = convert(Causal(), tmp_path / "out", (torch.randn(2, 3, 7, 8),))
    done.check()
    assert scaled_dot_product_attention is nn.functional.scaled_dot_product_attention
    assert Causal.forward.__globals__["scaled_dot_product_attention"] is scaled_dot_product_attention


class Grid(nn.Module):
    def forward(self, x):
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 5), indexing="ij")
        return x * rows + columns


def test_constant_lists_are_made_once(tmp_path):
    done = convert(Grid(), tmp_path / "out", (torch.randn(2, 4, 5),))
    done.check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert "meshgrid" in source.partition("def __call__")[0]


class Ramp(nn.Module):
    def forward(self, x):
        x = nn.functional.max_pool2d(x, 2)
        height, width = x.shape[-2:]
        down = torch.linspace(0.5, height - 0.5, height, dtype=x.dtype)
        return x * down[:, None] + torch.linspace(-1, 1, width)


def test_linspace_takes_dynamic_sizes(tmp_path):
    done = convert(Ramp(), tmp_path / "out", (torch.randn(2, 3, 10, 14),))
    done.check()
    assert done.outputs[1]["size"], done.outputs
    x = torch.randn(2, 3, 10, 14)
    captured = capture(Ramp(), (x,))
    torch.testing.assert_close(captured.program.module()(x), Ramp()(x), rtol=3e-7, atol=3e-7)  # as torch's own


class Counted(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1) * len(x.shape)


def test_the_length_of_a_tensor_is_a_size(tmp_path):
    done = convert(Counted(), tmp_path / "out", (torch.randn(2, 3, 4),))
    done.check()
    assert "=3" in done.outputs[1]["size"], done.outputs
    assert "len" not in Counted.forward.__globals__


class Windows(nn.Module):
    """Windows of four by four, as in Swin."""

    def forward(self, x):
        batch, height, width, channels = x.shape
        down, right = -height % 4, -width % 4
        x = nn.functional.pad(x, (0, 0, 0, right, 0, down))
        rows, columns = (height + down) // 4, (width + right) // 4
        x = x.view(batch, rows, 4, columns, 4, channels).transpose(2, 3).contiguous().view(-1, 4, 4, channels)
        x = x.softmax(1).view(-1, rows, columns, 4, 4, channels).transpose(2, 3)
        return x.reshape(batch, rows * 4, columns * 4, channels)[:, :height, :width]


def test_windows_of_an_image_of_any_size(tmp_path):
    before = op_implementations_dict[torch.ops.aten.view.default]
    done = convert(Windows(), tmp_path / "out", (torch.randn(2, 9, 14, 3),))
    done.check()
    assert done.outputs[1]["size"], done.outputs
    assert op_implementations_dict[torch.ops.aten.view.default] is before


def test_a_view_of_a_tensor_in_another_order_is_torchs_own():
    class Turned(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2).view(x.shape[0], x.shape[2], 3, 2) + 1

    x = torch.randn(2, 6, 5)
    captured = capture(Turned(), (x,))
    assert torch.equal(captured.program.module()(x), Turned()(x))
    view = next(node for node in captured.program.graph.nodes if "view" in str(node.target))
    assert not view.meta["val"].is_contiguous()


class Padded(nn.Module):
    """Pads to whole strides, as the convolutions of audio codecs: its numbers are in buffers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 5, 3)
        self.stride = nn.Buffer(torch.tensor(3), persistent=False)
        self.kernel_size = nn.Buffer(torch.tensor(5), persistent=False)
        self.padding_total = self.kernel_size - self.stride

    def forward(self, x):
        length = x.shape[-1]
        frames = torch.ceil((length - self.kernel_size + self.padding_total) / self.stride + 1).to(torch.int64) - 1
        further = frames * self.stride + self.kernel_size - self.padding_total - length
        return self.conv(nn.functional.pad(x, (self.padding_total, further)))


def test_padding_that_is_counted_with_buffers(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(Padded(), Padded())
    done = convert(module, tmp_path / "out", (torch.randn(2, 3, 32),))
    done.check()
    assert done.outputs[1]["size"], done.outputs
    captured = capture(module, (torch.randn(2, 3, 32),))
    for length in (31, 33, 34, 41):
        x = torch.randn(2, 3, length)
        torch.testing.assert_close(captured.program.module()(x), module(x))


def test_a_number_that_the_module_changes_is_not_taken_as_fixed():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = nn.Buffer(torch.tensor(1))

        def forward(self, x):
            self.calls.add_(1)
            return nn.functional.pad(x, (0, self.calls * 2))

    captured = capture(Counter(), (torch.randn(2, 3),))
    assert any(node.op == "aten.item.default" for node in captured.graph.nodes)


def test_conditions_between_sizes_are_not_written_out():
    """sympy cannot solve what visformer's strides ask; torch wants the answer for messages alone."""
    produced = ShapeEnv.produce_guards
    with traceable(nn.Linear(2, 2)):
        assert ShapeEnv.produce_guards is not produced
    assert ShapeEnv.produce_guards is produced


def test_torch_is_told_what_holds_in_the_example_where_it_can_do_with_either_answer():
    asked = []

    class Asking(nn.Module):
        def forward(self, x):
            length = x.shape[0]
            asked[:] = [guard_or_false(length == 5), guard_or_true(length != 5), guard_or_false(length > 3)]
            before = len(length.node.shape_env.guards)
            asked.append(before)
            asked.append(guard_or_false(length == 7))
            return x + length

    captured = capture(Asking(), (torch.randn(7),))
    assert asked == [False, True, True, 0, True]
    assert captured.graph.inputs()[0].meta.shape == (7,)  # an equality that holds is a condition


class Refusing(nn.Module):
    """Attention that refuses a mask, as Autoformer's where its length is not that of the tokens."""

    def forward(self, x):
        config = transformers.BertConfig(attn_implementation="sdpa")
        mask = masking_utils.create_bidirectional_mask(config=config, inputs_embeds=x, attention_mask=None)
        assert mask is None
        return x * 2


def test_no_mask_where_everything_is_attended_to():
    original = masking_utils._ignore_bidirectional_mask_sdpa
    capture(Refusing(), (torch.randn(2, 3, 8),))
    assert masking_utils._ignore_bidirectional_mask_sdpa is original
