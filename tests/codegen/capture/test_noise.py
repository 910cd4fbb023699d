"""Random numbers inside a model become inputs: `convert(noise="input")`, and the proof on the same noise."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command import run
from torch import nn

from pytorch_to_mlx import analyze, convert, validate
from pytorch_to_mlx.codegen import extensions, register_op
from pytorch_to_mlx.codegen.capture.noise import HandOut, NoiseError
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.lowering import functions
from pytorch_to_mlx.codegen.lowering.ops import op_table
from pytorch_to_mlx.errors import FormatError

DRAWS = {
    "randn_like": lambda x: x + torch.randn_like(x),
    "rand": lambda x: x[:, :3] * torch.rand(x.shape[0], 3),
    "normal": lambda x: torch.normal(x, x.abs()) + torch.normal(0.0, 2.0, (x.shape[0], 5)),
    "in_place": lambda x: torch.empty_like(x).uniform_(-1, 1) + x.new_empty(x.shape).normal_(1, 2) * x,
    "gumbel": lambda x: F.gumbel_softmax(x),
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()) + torch.empty_like(x).bernoulli_(0.3),
    "dropout": lambda x: (
        F.dropout(x, 0.3) + F.alpha_dropout(x, 0.2, True) + F.dropout2d(x[..., None, None], 0.4)[..., 0, 0]
    ),
    "whole": lambda x: x[torch.randperm(x.shape[0])] + torch.randint(2, 7, (x.shape[0], 1)),
    "multinomial": lambda x: torch.multinomial(x.softmax(-1), 1),
    "reparametrised": lambda x: torch.distributions.Normal(x, x.exp(), validate_args=False).rsample(),
    "cauchy": lambda x: torch.empty_like(x).cauchy_() + torch.empty_like(x).log_normal_(),
}


class Inner(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.l, self.draw = nn.Linear(5, 5), draw

    def forward(self, x):
        return self.draw(self.l(x))


class Outer(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.inner, self.out = Inner(draw), nn.Linear(5, 5)

    def forward(self, x):
        return self.inner(self.out(x))


def as_torch(array):
    return torch.from_numpy(np.array(array))


@pytest.mark.parametrize("name", DRAWS)
def test_noise_is_an_input_and_both_sides_compute_on_the_same(tmp_path, name):
    """The right value is PyTorch's own on the noise that is handed out to it in place of what it draws."""
    result = convert(Outer(DRAWS[name]), tmp_path / "out", example_inputs=(torch.randn(4, 5),), noise="input")
    result.check()
    assert result.noise and all("random" not in one for one in result.outputs) and len(result.outputs) == 2
    model = load_generated(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["methods"]["__call__"]
    noise = [torch.rand([3 if size == "x[0]" else size for size in one["shape"]]) for one in config["noise"].values()]
    x = torch.randn(3, 5)
    module = Outer(DRAWS[name])
    weights = {key: as_torch(value) for key, value in mx.load(str(tmp_path / "out" / "model.safetensors")).items()}
    module.load_state_dict(weights)
    with torch.no_grad(), HandOut(noise):
        right = module(x)
    ours = model(mx.array(x.numpy()), *[mx.array(one.numpy()) for one in noise])
    np.testing.assert_allclose(np.array(ours), right.numpy(), rtol=2e-4, atol=2e-5)
    assert (
        not np.array_equal(np.array(model(mx.ones([9, 5]))), np.array(model(mx.ones([9, 5])))) or name == "multinomial"
    )
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "`noise_1` | float32" in readme and "Each may be left out" in readme


class Lengthened(nn.Module):
    """Frames by duration, and noise on them: synthesizers of speech."""

    def __init__(self):
        super().__init__()
        self.inner = Inner(DRAWS["randn_like"])

    def forward(self, x, durations):
        return self.inner(torch.repeat_interleave(x, durations, dim=0))


def test_noise_whose_length_depends_on_data(tmp_path):
    example = torch.randn(4, 5), torch.tensor([2, 1, 3, 1])
    result = convert(Lengthened(), tmp_path / "out", example_inputs=example, noise="input")
    result.check()
    assert "| `noise_1` | float32 | [depends on data, 5] |" in (tmp_path / "out" / "README.md").read_text()
    model = load_generated(tmp_path / "out")
    assert model(mx.ones([2, 5]), mx.array([4, 5])).shape == (9, 5)


def test_noise_of_another_shape_is_refused_by_both(tmp_path):
    convert(Outer(DRAWS["randn_like"]), tmp_path / "out", example_inputs=(torch.randn(4, 5),), noise="input")
    with pytest.raises(ValueError, match=r"this noise has the shape \[4, 5\], not \[1, 5\]"):
        load_generated(tmp_path / "out")(mx.ones([4, 5]), mx.ones([1, 5]))
    with pytest.raises(NoiseError, match="draws noise of shape"), HandOut([torch.ones(1, 5)]):
        torch.randn(4, 5)
    with pytest.raises(NoiseError, match="draws more than the 0 arrays"), HandOut([]):
        torch.randn(4, 5)


def test_without_the_option_the_message_names_it_and_the_line(tmp_path):
    module = Outer(DRAWS["dropout"])
    with pytest.raises(FormatError, match=r"test_noise\.py:\d+ .*draws random numbers inside the model; --noise input"):
        convert(module, tmp_path / "out", example_inputs=(torch.randn(4, 5),))
    assert any("--noise input" in problem for problem in analyze(module, (torch.randn(4, 5),)).problems)


def test_the_option_on_the_command_line_and_validate_remember_it(tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\nclass M(nn.Module):\n    def forward(self, x):\n"
        "        return x + torch.randn_like(x)\ndef make():\n    return M(), torch.ones(2, 3)\n"
    )
    process = run("convert", "own.py:make", "--mlx-path", "out", "--noise", "input", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    result = validate(tmp_path / "out", *_factory(tmp_path))
    assert result.ok and result.noise == ["noise_1"]


def _factory(folder: Path):
    space: dict = {}
    exec((folder / "own.py").read_text(), space)
    return space["make"]()


@pytest.fixture
def registrations_restored():
    tables = op_table._TABLE, functions._USER_FUNCTIONS, extensions._FILES
    before = [dict(op_table.table()), *map(dict, tables[1:])]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def own_noise(x):
    return mx.random.normal(x.shape)


def test_a_module_that_draws_by_a_registered_op_is_not_said_to_agree(tmp_path, registrations_restored):
    """PyTorch differs from itself by 0.2 here; the two draws are not merged into one either."""
    register_op("aten.randn_like.default")(own_noise)
    module = Inner(lambda x: x + torch.randn_like(x) - torch.randn_like(x))
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(4, 5),))
    result.check()
    assert "random: not compared" in result.summary() and "agrees" not in result.summary()
    assert "random: not compared" in (tmp_path / "out" / "report.md").read_text()
    assert "It agrees" not in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "model.py").read_text().count("own_noise(") == 3


def test_an_op_of_a_library_that_draws_is_random(tmp_path, registrations_restored):
    lib = torch.library.Library("noisy", "DEF")
    lib.define("shake(Tensor x) -> Tensor")
    lib.impl("shake", lambda x: x + torch.randn(x.shape), "CompositeExplicitAutograd")
    lib.impl("shake", lambda x: torch.empty_like(x), "Meta")
    register_op("noisy::shake")(own_noise)
    module = Outer(lambda x: torch.ops.noisy.shake(x))
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(4, 5),))
    result.check()
    by_path = {one["path"]: one for one in result.submodules}
    assert by_path["inner"]["random"] and not by_path["out"]["random"] and result.outputs[0]["random"]
