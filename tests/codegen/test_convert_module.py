"""The generator: committed examples, folders, proofs, errors; through the same calls that users make."""

import json
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from command import run
from torch import nn

from pytorch_to_mlx import analyze, convert, validate
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.emit.generate import generate
from pytorch_to_mlx.codegen.proof.outputs import import_source
from pytorch_to_mlx.codegen.sources.module_source import ModuleSource
from pytorch_to_mlx.codegen.sources.open import open_module
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs" / "examples"


class Gate(nn.Module):
    """Small, but with a buffer, a repeated block and a dynamic length."""

    def __init__(self, width=8):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(width, width), nn.GELU()) for _ in range(3)])
        self.register_buffer("scale", torch.full((width,), 0.5))

    def forward(self, states, mask=None):
        for block in self.blocks:
            states = states + block(states) * self.scale
        return {"states": states, "mean": (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)}


def gate():
    torch.manual_seed(0)
    return Gate().eval(), (torch.randn(2, 5, 8),), {"mask": torch.tensor([[1.0, 1, 1, 0, 0], [1.0, 1, 1, 1, 1]])}


class Loose(nn.Module):
    """Ends in an op that has no MLX form."""

    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5, training=True)


def written(module, *args, **kwargs):
    return generate(ModuleSource(module, args, kwargs).entries(), module)


@pytest.mark.parametrize("name", ["llama", "bert", "whisper", "vit", "convnext", "t5"])
def test_examples_are_current(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    opened = open_module(f"docs/examples/tiny.py:{name}")
    made = generate(opened.entries(), opened.module)
    text = (EXAMPLES / name / "model.py").read_text(encoding="utf-8")
    assert made.source == text, "run: python docs/examples/write.py"
    report = (EXAMPLES / name / "report.md").read_text(encoding="utf-8")
    n_agree, n_calls = re.search(r"(\d+) of (\d+) calls agree", report).groups()
    assert n_agree == n_calls and "**no**" not in report


def test_a_module_becomes_a_folder_that_agrees(tmp_path):
    module, args, kwargs = gate()
    result = convert(module, tmp_path / "gate", example_inputs=(args, kwargs))
    result.check()
    assert len(result.outputs) > 1 and all(one["ok"] for one in result.outputs)
    assert {one["path"] for one in result.submodules} >= {"blocks.0.0", "blocks.2.0"}
    model = import_source(tmp_path / "gate" / "model.py").load(str(tmp_path / "gate"))
    states, mask = torch.randn(3, 7, 8), torch.ones(3, 7)
    ours, theirs = model(mx.array(states.numpy()), mx.array(mask.numpy())), module(states, mask=mask)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_allclose(np.array(ours[key]), value.detach().numpy(), rtol=1e-5, atol=1e-6)
    text = (tmp_path / "gate" / "model.py").read_text()
    assert "for block in self.blocks" in text and "def __call__(self, states, mask)" in text
    report = json.loads((tmp_path / "gate" / "report.json").read_text())
    assert report["ok"] and report["submodules"]
    validate(tmp_path / "gate", module, (args, kwargs)).check()


def test_a_changed_source_is_found(tmp_path):
    module, args, kwargs = gate()
    folder = tmp_path / "gate"
    convert(module, folder, example_inputs=(args, kwargs))
    source = folder / "model.py"
    source.write_text(source.read_text().replace("nn.gelu(", "nn.gelu_approx("))
    with pytest.raises(UsageError, match="it was not run; read it, then pass --trust-folder"):
        validate(folder, module, (args, kwargs))
    with pytest.raises(CheckError, match="differs"):
        validate(folder, module, (args, kwargs), trust_folder=True).check()


def test_an_existing_folder_stays(tmp_path):
    module, args, kwargs = gate()
    (tmp_path / "kept").mkdir()
    with pytest.raises(UsageError):
        convert(module, tmp_path / "kept", example_inputs=(args, kwargs))
    assert not list((tmp_path / "kept").iterdir())


def test_tied_weights_are_one(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(32, 64)
            self.head = nn.Linear(64, 32, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(torch.tanh(self.embed(ids)))

    result = convert(Tied().eval(), tmp_path / "tied", example_inputs=torch.randint(0, 32, (2, 5)), quantize=True)
    result.check()
    assert "self.embed.as_linear" in (tmp_path / "tied" / "model.py").read_text()
    names = sorted(mx.load(str(tmp_path / "tied" / "model.safetensors")))
    assert names == ["embed.biases", "embed.scales", "embed.weight"]
    assert result.quantization["layers"] == ["embed"] and result.quantization["error"] < 0.05


def test_numbers_that_differ_become_arguments():
    class Norm(nn.Module):
        def __init__(self, eps):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.rand(4))

        def forward(self, x):
            return x * self.weight / (x.abs().amax(-1, keepdim=True) + self.eps) + self.eps

    text = written(nn.Sequential(Norm(0.25), Norm(0.5)).eval(), torch.randn(2, 3, 4)).source
    assert text.count("class Norm") == 1 and "Norm(eps=0.25, dim=dim)" in text and "Norm(eps=0.5, dim=dim)" in text


def test_parts_of_an_array_are_replaced(tmp_path):
    class Parts(nn.Module):
        def forward(self, x):
            x = x * 2
            x[:, :, 1:3] = 0.5
            x[:, :, ::4] = x[:, 0, 1::4].unsqueeze(1)
            x[:, -1] = x.sum(1)
            return x

    convert(Parts(), tmp_path / "parts", example_inputs=torch.randn(3, 5, 8)).check()


def test_sizes_are_numbers_in_splits_and_quotients(tmp_path):
    class Sizes(nn.Module):
        def forward(self, x):
            first, rest = x.split([2, x.shape[1] - 2], dim=1)
            places = torch.arange(0.5, x.shape[1]) / x.shape[1]
            return torch.cat([rest, first], 1) * places[:, None]

    convert(Sizes(), tmp_path / "sizes", example_inputs=torch.randn(3, 5, 8)).check()


def test_a_conversion_to_the_same_dtype_inside_a_forward_is_left_out(tmp_path):
    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(8, 4)

        def forward(self, x):
            return self.gate.to(x.dtype)(x)

    original = nn.Module.to
    convert(Router(), tmp_path / "router", example_inputs=torch.randn(3, 8)).check()
    assert nn.Module.to is original


def test_an_op_without_a_form_names_its_place():
    with pytest.raises(FormatError) as caught:
        written(nn.Sequential(nn.Linear(4, 4), Loose()), torch.randn(2, 4))
    text = str(caught.value)
    assert "test_convert_module.py" in text and "module 1" in text and "random" in text, text
    result = analyze(nn.Sequential(nn.Linear(4, 4), Loose()), torch.randn(2, 4))
    assert not result.convertible and any("random" in use.problem for use in result.ops)
    assert "test_convert_module.py" in result.html()


def test_branches_on_values_name_their_line():
    class Branch(nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(FormatError, match=r"test_convert_module\.py:\d+"):
        capture(Branch(), (torch.randn(2, 3),))


def test_command_line(tmp_path):
    factory = (
        "import torch\ndef made():\n    return torch.nn.Sequential(torch.nn.Linear(64, 4)), (torch.ones(2, 64),)\n"
    )
    (tmp_path / "mine.py").write_text(factory)
    done = run("analyze", "mine.py:made", "--html", "page.html", cwd=tmp_path)
    assert done.returncode == 0 and b"would convert" in done.stdout, done.stderr
    assert "linear" in (tmp_path / "page.html").read_text()
    done = run("convert", "mine.py:made", "--mlx-path", "out", "-q", cwd=tmp_path)
    assert done.returncode == 0 and b"agrees" in done.stdout, done.stderr
    done = run("validate", "out", "--source", "mine.py:made", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["quantization"]["bits"] == 8, done.stderr
    done = run("convert", "mine.py:missing", "--mlx-path", "out2", cwd=tmp_path)
    assert done.returncode == 2 and not (tmp_path / "out2").exists()


def test_exported_program(tmp_path):
    module, args, kwargs = gate()
    length = torch.export.Dim("length", min=2)
    shapes = {"states": {1: length}, "mask": {1: length}}
    program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "gate.pt2")
    convert(str(tmp_path / "gate.pt2"), tmp_path / "out").check()
    assert "class Gate(nn.Module):" in (tmp_path / "out" / "model.py").read_text(encoding="utf-8")


class Handed(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.Linear(4, 4)

    def forward(self, x, norm, heads):
        x = norm(self.own(x))
        return x + heads[1](heads[0](x))


class Handing(nn.Module):
    """Hands modules of its own to another module, as detectors hand their heads to the decoder."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.heads = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 4)])
        self.inner = Handed()

    def forward(self, x):
        return self.inner(x, self.norm, self.heads)


def test_modules_that_are_handed_to_another(tmp_path):
    torch.manual_seed(0)
    convert(Handing(), tmp_path / "out", example_inputs=(torch.randn(2, 3, 4),)).check()


class Blind(nn.Module):
    """Attention in which what is padded attends to nothing."""

    def forward(self, x, mask):
        seen = mask.bool()
        return nn.functional.scaled_dot_product_attention(
            x, x, x, attn_mask=seen[:, None, :, None] & seen[:, None, None]
        )


def test_a_row_that_attends_to_nothing_gives_zeros(tmp_path):
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    done = convert(Blind(), tmp_path / "out", example_inputs=(torch.randn(2, 3, 5, 8), mask))
    done.check()
    assert not Blind()(torch.randn(2, 3, 5, 8), mask)[1, :, :2].any()
