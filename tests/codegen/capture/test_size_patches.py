"""Shapes follow from the example's sizes, and what the models' own code asks is still recorded."""

import pytest
import sympy
import torch
from torch import nn
from torch._subclasses.fake_impls import op_implementations_dict
from torch.fx.experimental.symbolic_shapes import ShapeEnv, guard_or_false, guard_or_true

from pytorch_to_mlx.codegen import convert
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.size_patches import _is_contiguous, _is_simple, skip_size_proofs


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
    original = op_implementations_dict[torch.ops.aten.view.default]
    result = convert(Windows(), tmp_path / "out", (torch.randn(2, 9, 14, 3),))
    result.check()
    assert result.outputs[1]["size"], result.outputs
    assert op_implementations_dict[torch.ops.aten.view.default] is original


def test_a_view_of_a_transposed_tensor_is_torchs_own():
    class Transposed(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2).view(x.shape[0], x.shape[2], 3, 2) + 1

    x = torch.randn(2, 6, 5)
    captured = capture(Transposed(), (x,))
    assert torch.equal(captured.program.module()(x), Transposed()(x))
    view = next(node for node in captured.program.graph.nodes if "view" in str(node.target))
    assert not view.meta["val"].is_contiguous()


def test_optional_questions_are_answered_by_the_example():
    answers = []

    class Asking(nn.Module):
        def forward(self, x):
            length = x.shape[0]
            if isinstance(length, int):  # capture also runs the example itself
                return x + length
            answers[:] = [guard_or_false(length == 5), guard_or_true(length != 5), guard_or_false(length > 3)]
            before = len(length.node.shape_env.guards)
            answers.append(before)
            answers.append(guard_or_false(length == 7))
            return x + length

    captured = capture(Asking(), (torch.randn(7),))
    assert answers == [False, True, True, 0, True]
    assert captured.graph.inputs()[0].meta.shape == (7,)  # an equality that holds is a condition


def test_torch_is_restored():
    originals = ShapeEnv.evaluate_sym_node, sympy.simplify
    with pytest.raises(KeyError), skip_size_proofs():
        assert ShapeEnv.evaluate_sym_node is not originals[0] and sympy.simplify is not originals[1]
        raise KeyError
    assert (ShapeEnv.evaluate_sym_node, sympy.simplify) == originals
    assert "_resimplify_floor_div_axioms" not in vars(ShapeEnv)


def test_expressions_without_division_are_not_simplified():
    x = sympy.Symbol("x", integer=True)
    assert _is_simple(x**2 + 3 * x) and not _is_simple(3 / x) and not _is_simple(x / 2)
    assert not _is_simple(x > 2)  # not an arithmetic expression
    with skip_size_proofs():
        assert sympy.simplify(x * (x + 1) - x**2) == x * (x + 1) - x**2
        assert sympy.simplify((2 * x**2 + 2 * x) / (x + 1)) == 2 * x


@pytest.mark.parametrize("x, contiguous", [
    (torch.zeros(2, 3, 4), True),
    (torch.zeros(2, 3, 4).transpose(1, 2), False),
    (torch.zeros(2, 1, 4).transpose(0, 1), True),  # the stride of an axis of size 1 does not matter
    (torch.zeros(4, 6)[:, :3], False),
    (torch.zeros(()), True),
])  # fmt: skip
def test_contiguous_in_the_example(x, contiguous):
    assert _is_contiguous(x) is contiguous is x.is_contiguous()
