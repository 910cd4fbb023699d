"""Sizes at which the original takes another branch are refused by the generated source."""

import ast

import mlx.core as mx
import pytest
import sympy
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.bench.coverage.modules import accepts
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.guards import Guard, condition_tree
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.graph import Unsupported


class Windows(nn.Module):
    """Halves a long input, as window attention pads an image whose size does not fit."""

    def forward(self, x):
        if x.shape[1] % 4 == 0:
            return x.unflatten(1, (-1, 4)).mean(2)
        return x


def test_another_branch_is_refused(tmp_path):
    convert(Windows(), tmp_path / "out", example_inputs=torch.randn(2, 8, 3))
    model = load_generated(tmp_path / "out")
    assert model(mx.ones([3, 12, 3])).shape == (3, 3, 3)
    with pytest.raises(ValueError, match=r"test_guards.py:\d+"):
        model(mx.ones([2, 9, 3]))


def test_other_sizes_are_judged_by_what_the_code_asked():
    captured = capture(Windows(), (torch.randn(2, 8, 3),))
    assert accepts(captured, ((torch.randn(3, 16, 3),), {}))
    assert not accepts(captured, ((torch.randn(3, 9, 3),), {}))
    assert not accepts(captured, ((torch.randn(2, 8, 3), torch.randn(2)), {}))


def test_questions_with_one_answer_leave_no_check():
    class Long(nn.Module):
        def forward(self, x):
            return x * 2 if x.shape[1] > 1 else x

    assert capture(Long(), (torch.randn(2, 8),)).guards == []


def test_a_size_that_torch_itself_fixes_is_no_longer_dynamic():
    class Fixed(nn.Module):
        def forward(self, x):
            x = nn.functional.max_pool2d(x, 2)
            return x * torch.logspace(0, 1, x.shape[-1])  # its number of steps is a plain number

    captured = capture(Fixed(), (torch.randn(2, 3, 8, 6),))
    assert len(captured.guards) == 1
    assert accepts(captured, ((torch.randn(3, 3, 12, 6),), {}))
    assert not accepts(captured, ((torch.randn(3, 3, 8, 10),), {}))


class Sorted(nn.Module):
    """Pieces whose lengths are counted, as experts take their tokens, beside the whole."""

    def forward(self, x, kind):
        counts = torch.zeros(4, dtype=torch.long).scatter_add(0, kind, torch.ones_like(kind))
        pieces = x.split(counts.tolist(), 0)
        return torch.cat([piece * scale for scale, piece in enumerate(pieces)], 0) * x


def test_pieces_that_make_up_a_whole(tmp_path):
    kind = torch.tensor([0, 1, 1, 3, 2, 2, 0, 0, 1, 1, 3, 3, 3, 0, 2])
    result = convert(Sorted(), tmp_path / "out", example_inputs=(torch.randn(15, 6), kind))
    result.check()


class Selected(nn.Module):
    def forward(self, x, mask):
        selected = x[:, mask > 0]  # as many as the mask says
        many = selected.new_zeros([2, 4, selected.shape[1], 5])
        return (many + selected[:, None].cos()).sum(2)


def test_as_many_values_as_a_mask_selects(tmp_path):
    convert(
        Selected(), tmp_path / "out", example_inputs=(torch.randn(2, 7, 5), torch.tensor([1, 0, 1, 1, 0, 0, 1]))
    ).check()


H, W = sympy.symbols("h w", integer=True, positive=True)


@pytest.mark.parametrize("condition, text", [
    (sympy.Eq(49, H * W, evaluate=False), "$h * $w == 49"),
    (H < W + 2, "$h < $w + 2"),
    (sympy.Not(sympy.Eq(H, W)), "$h != $w"),
    (sympy.And(H > 2, W >= 3), None),
])  # fmt: skip
def test_conditions_as_source(condition, text):
    source = ast.unparse(condition_tree(condition))
    assert source == text if text else set(source.split(" and ")) == {"$h > 2", "$w >= 3"}


def test_other_conditions_are_refused():
    with pytest.raises(Unsupported, match="a condition on sizes"):
        condition_tree(sympy.Xor(H > 2, W > 2))


def test_a_guard_refuses_other_sizes():
    guard = Guard(sympy.Eq(H, 2 * W), "net.py:3")
    assert guard.holds({H: 6, W: 3}) and not guard.holds({H: 6, W: 4})
    assert ast.unparse(guard.statement({}, {})) == "check_size($h == 2 * $w, 'h == 2 * w', 'net.py:3')"
