"""Sizes at which the original takes another branch are refused by the generated source."""

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.bench.coverage.modules import accepts
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.errors import FormatError


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


def test_sizes_that_torch_cannot_reason_about_stay_and_the_batch_is_dynamic():
    class Unsolved(nn.Module):
        def forward(self, x):
            if isinstance(x.shape[1], torch.SymInt):
                raise NotImplementedError("the inequality cannot be solved")
            return x * 2

    captured = capture(Unsolved(), (torch.randn(2, 8, 3),))
    batch, *others = captured.graph.inputs()[0].meta.shape
    assert others == [8, 3] and not isinstance(batch, int) and "first axes" in captured.how


def test_the_error_of_every_attempt_is_shown():
    class Refusing(nn.Module):
        def forward(self, x):
            raise ValueError("all dynamic" if isinstance(x.shape[1], torch.SymInt) else "the first axis alone")

    with pytest.raises(FormatError, match="all dynamic") as raised:
        capture(Refusing(), (torch.randn(2, 8),))
    (other,) = raised.value.details
    assert "first axes" in other and "the first axis alone" in other


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
    done = convert(Sorted(), tmp_path / "out", example_inputs=(torch.randn(15, 6), kind))
    done.check()


class Kept(nn.Module):
    def forward(self, x, mask):
        kept = x[:, mask > 0]  # as many as the mask says
        many = kept.new_zeros([2, 4, kept.shape[1], 5])
        return (many + kept[:, None].cos()).sum(2)


def test_a_mask_of_an_array_that_is_not_known_yet(tmp_path):
    convert(
        Kept(), tmp_path / "out", example_inputs=(torch.randn(2, 7, 5), torch.tensor([1, 0, 1, 1, 0, 0, 1]))
    ).check()
