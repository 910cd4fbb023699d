"""Python loops over an axis become loops in the source, right at every length; others are refused at other lengths."""

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

from pytorch_to_mlx import analyze, convert, validate
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.proof.outputs import flat_arrays


class Plain(nn.Module):
    """A recurrent cell, every state collected."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 6)

    def forward(self, x):
        h, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.l(x[:, t]) + h)
            states.append(h)
        return torch.stack(states, 1) + x


class Cell(nn.Module):
    """An LSTM cell over the parts of a split; both states of the last round."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(6, 5)

    def forward(self, x):
        h = c = torch.zeros(x.shape[0], 5)
        outputs = []
        for part in x.split(1, 1):
            h, c = self.cell(part.squeeze(1), (h, c))
            outputs.append(h.unsqueeze(1))
        return torch.cat(outputs, 1), (h, c)


class BothWays(nn.Module):
    """Two loops, one from the end, whose outputs are turned around."""

    def __init__(self):
        super().__init__()
        self.f, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        batch, length, width = x.shape
        h, there, back = torch.zeros(batch, width), [], []
        for t in range(length):
            h = torch.tanh(self.f(x[:, t]) + h)
            there.append(h)
        for t in reversed(range(length)):
            h = torch.tanh(self.b(x[:, t]) + h)
            back.append(h)
        return torch.cat([torch.stack(there, 1), torch.stack(back[::-1], 1)], -1)


class Layers(nn.Module):
    """Two cells one above the other in every round, time first."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(6, 6), nn.GRUCell(6, 6)])

    def forward(self, x):
        states, outputs = [x.new_zeros(x.shape[1], 6) for _ in self.cells], []
        for y in x:
            for i, cell in enumerate(self.cells):
                y = states[i] = cell(y, states[i])
            outputs.append(y)
        return torch.stack(outputs)


class Scan(nn.Module):
    """A selective state-space layer as it is written in plain PyTorch."""

    def __init__(self, d=6, n=4):
        super().__init__()
        self.a, self.n = nn.Parameter(-torch.rand(d, n)), n
        self.project, self.step = nn.Linear(d, 2 * n + 1), nn.Linear(1, d)
        self.conv = nn.Conv1d(d, d, 3, padding=2, groups=d)

    def forward(self, x):
        b, length, d = x.shape
        x = F.silu(self.conv(x.transpose(1, 2))[..., :length].transpose(1, 2))
        delta, in_, out = self.project(x).split([1, self.n, self.n], -1)
        delta = F.softplus(self.step(delta))
        decay = torch.exp(torch.einsum("bld,dn->bldn", delta, self.a))
        update = torch.einsum("bld,bln,bld->bldn", delta, in_, x)
        h, ys = torch.zeros(b, d, self.n), []
        for i in range(length):
            h = decay[:, i] * h + update[:, i]
            ys.append(torch.einsum("bdn,bn->bd", h, out[:, i, :]))
        return torch.stack(ys, 1) + x


class Stack(nn.Module):
    """The loop lies two modules down, three times."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.layers, self.norm = nn.ModuleList([Scan() for _ in range(3)]), nn.LayerNorm(6)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(self.norm(x))
        return x @ self.embed.weight.T


class Written(nn.Module):
    """The outputs are written into an array; numbers count the rounds."""

    def forward(self, x):
        out, h = torch.zeros_like(x), x.new_zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            h = x[:, t] * (t + 1) + h.sigmoid()
            out[:, t] = h
        return out


class Pairs(nn.Module):
    """Two inputs at once, with a mask; only the last state."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 6)

    def forward(self, x, mask):
        h = torch.zeros_like(x[:, 0])
        for a, b in zip(x.unbind(1), mask.unbind(1), strict=True):
            h = torch.where(b[:, None] > 0, torch.tanh(self.l(a) + h), h)
        return h


class Growing(nn.Module):
    """The first place is read before the loop, and a memory grows with every round."""

    def forward(self, x):
        memory, means = x[:, :1], [x[:, 0]]
        for t in range(1, x.shape[1]):
            attention = (x[:, t : t + 1] @ memory.transpose(1, 2)).softmax(-1) @ memory
            memory = torch.cat([memory, attention], 1)
            means.append(memory.mean(1))
        return memory, torch.stack(means, 1), x.reshape(x.shape[0], -1).sum(1)


class Twice(nn.Module):
    """Loops over two axes of two inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x, y):
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = torch.tanh(self.a(x[:, t]) + h)
        outputs = []
        for t in range(y.shape[1]):
            h = torch.tanh(self.b(y[:, t]) + h)
            outputs.append(h)
        return torch.stack(outputs, 1)


X = [(2, 5, 6)], [(3, 9, 6)]
CASES = [
    (Plain, *X), (Cell, *X), (BothWays, *X), (Layers, [(5, 2, 6)], [(8, 3, 6)]), (Scan, *X), (Written, *X),
    (Pairs, [(2, 5, 6), (2, 5)], [(3, 9, 6), (3, 9)]), (Growing, *X),
    (Twice, [(2, 5, 6), (2, 4, 6)], [(3, 8, 6), (3, 11, 6)]),
]  # fmt: skip


def close(model, module, inputs):
    with torch.no_grad():
        right = pytree.tree_leaves(module(*inputs))
    ours = flat_arrays(model(*[mx.array(x.numpy()) for x in inputs]))
    assert len(ours) == len(right)
    for one, other in zip(ours, right, strict=True):
        np.testing.assert_allclose(np.array(one), other.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make, shapes, others", CASES)
def test_a_loop_over_an_axis_is_a_loop_in_the_source(tmp_path, make, shapes, others):
    """The right values are PyTorch's own, at a length that neither the conversion nor its proof has seen, and at 2."""
    torch.manual_seed(0)
    module = make()
    result = convert(module, tmp_path / "out", example_inputs=tuple(torch.randn(shape) for shape in shapes))
    result.check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert "for t in range(length" in source or "for t in range(batch" in source
    assert any("x[1]=" in one["size"] or "x[0]=" in one["size"] for one in result.outputs)
    model = load_generated(tmp_path / "out")
    close(model, module, [torch.randn(shape) for shape in others])
    axis = 0 if make is Layers else 1
    close(model, module, [torch.randn(*shape[:axis], 2, *shape[axis + 1 :]) for shape in others])


def test_loops_deep_in_a_model(tmp_path):
    torch.manual_seed(0)
    module = Stack()
    convert(module, tmp_path / "out", example_inputs=torch.randint(0, 11, (2, 4))).check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert source.count("for t in range(length)") == 1 and "for layer in self.layers" in source
    close(load_generated(tmp_path / "out"), module, [torch.randint(0, 11, (1, 13))])


class Powers(nn.Module):
    """No loop: what a round computes is not a step further than that of the round before."""

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = x[:, t] * 1.5**t + h
        return h


class ByLength(nn.Module):
    """The number of rounds is a step of the length, which stays dynamic."""

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1] // 2 + 1):
            h = torch.tanh(x[:, t] + h)
        return h


class Late(nn.Module):
    """A loop at lengths 5 and 6; from 7 on, every round computes something else."""

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for part in x.unbind(1):
            h = torch.tanh(part + h) if x.shape[1] < 7 else part
        return h


@pytest.mark.parametrize("make, sentence", [
    (Powers, "axis 1 of x is 5 only"),
    (ByLength, "x.shape[1] // 2 + 1 == 3"),
    (Late, "axis 1 of x is 5 only"),
])  # fmt: skip
def test_what_is_no_loop_is_refused_at_other_lengths(tmp_path, make, sentence):
    """PyTorch computes something else at 9; the source says which length it is for, and analyze says so before."""
    example = torch.randn(2, 5, 6)
    result = convert(make(), tmp_path / "out", example_inputs=example)
    result.check()
    assert f"fixed size: {sentence}" in result.summary()
    assert make is Late or any(text.startswith(sentence) for text in analyze(make(), example).fixed)
    model = load_generated(tmp_path / "out")
    close(model, make(), [torch.randn(3, 5, 6)])
    assert validate(tmp_path / "out", make(), example).ok
    with pytest.raises(ValueError, match="convert again with an example of that size"):
        model(mx.ones([2, 9, 6]))


class Asserting(nn.Module):
    def forward(self, x):
        assert x.shape[1] == 5, "five only"
        return sum(x.unbind(1)) * torch.ones(5)[: x.shape[1]].sum()


class Writing(nn.Module):
    def forward(self, x):
        for t in range(x.shape[1]):
            x[:, t] *= 2
        return x


def test_example_inputs_stay_as_they_are():
    example = torch.ones(2, 4, 6)
    capture(Writing(), (example,))
    assert (example == 1).all()


def test_an_original_that_asserts_its_length_is_no_error():
    assert capture(Asserting(), (torch.randn(2, 5, 6),)).unrolled is None


def test_a_list_of_modules_is_no_loop_over_an_axis():
    module = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    assert capture(module, (torch.randn(2, 6),)).unrolled is None
