"""A module with several entry points becomes one class with a method for each."""

import json

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from pytorch_to_mlx import analyze, convert, validate
from pytorch_to_mlx.codegen.capture.tensors import to_numpy
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.errors import UsageError


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x, shift):
        y = self.norm(x) + shift
        return x + self.down(torch.relu(self.up(y)) + torch.arange(2.0 * x.shape[-1]))


class Translator(nn.Module):
    """encode and decode share the embedding; decode reads it again as the output layer, and forward is both."""

    def __init__(self, vocabulary=23, width=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.ModuleList(Block(width) for _ in range(2))
        self.decoder = Block(width)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.embedding.weight

    def encode(self, tokens, *, scale=1.0):
        x = self.embedding(tokens) * torch.linspace(0, 1, 8)
        for block in self.encoder:
            x = block(x, x.mean(1, keepdim=True))
        return {"memory": x, "mean": x.mean(1)}

    def decode(self, memory, tokens):
        x = self.embedding(tokens) * torch.linspace(1, 2, 8)
        x = self.decoder(x, memory.mean(1, keepdim=True))
        x = self.encoder[0](x, memory.mean(1, keepdim=True))
        return self.output(x)

    def forward(self, source, tokens):
        return self.decode(self.encode(source)["memory"], tokens)

    def loss(self, source, tokens):
        return self(source, tokens).logsumexp(-1)


def examples():
    torch.manual_seed(0)
    source, tokens = torch.randint(0, 23, (2, 5)), torch.randint(0, 23, (2, 3))
    return source, tokens, torch.randn(2, 5, 8)


def translator():
    """(module, methods): what a factory of a module with several entry points returns."""
    source, tokens, memory = examples()
    return Translator(), {"encode": ((source,), {}), "decode": (memory, tokens), "loss": (source, tokens)}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translator") / "mlx"
    module, methods = translator()
    done = convert(module.eval(), folder, methods=methods)
    done.check()
    return module, folder, done


def test_every_method_computes_what_the_original_does(converted):
    module, folder, _ = converted
    model = load_generated(folder)
    source, tokens = torch.randint(0, 23, (3, 7)), torch.randint(0, 23, (3, 4))
    with torch.no_grad():
        memory = module.encode(source)
        want = module.decode(memory["memory"], tokens), module.loss(source, tokens)
    got = model.encode(mx.array(source.numpy()))
    np.testing.assert_allclose(to_numpy(got["mean"]), memory["mean"].numpy(), rtol=1e-5, atol=1e-5)
    logits = model.decode(got["memory"], mx.array(tokens.numpy()))
    np.testing.assert_allclose(to_numpy(logits), want[0].numpy(), rtol=1e-5, atol=1e-5)
    loss = model.loss(mx.array(source.numpy()), mx.array(tokens.numpy()))
    np.testing.assert_allclose(to_numpy(loss), want[1].numpy(), rtol=1e-5, atol=1e-5)


def test_methods_share_classes_and_weights(converted):
    _, folder, done = converted
    text = (folder / "model.py").read_text()
    assert text.count("class Block(") == 1 and "class Block2" not in text
    assert text.count("class Translator(") == 1 and ".call_" not in text
    weights = load_file(folder / "model.safetensors")
    assert [name for name in weights if "embedding" in name or "output" in name] == ["embedding.weight"]
    assert {one["method"] for one in done.submodules} == {"encode", "decode", "loss"}
    methods = json.loads((folder / "config.json").read_text())["methods"]
    assert methods["decode"]["arguments"] == ["memory", "tokens"]
    assert "result = model.decode(memory, tokens)" in (folder / "README.md").read_text()


def test_it_is_validated_again_and_from_a_factory(converted, tmp_path):
    module, folder, _ = converted
    _, methods = translator()
    assert validate(folder, module, methods=methods).ok
    done = convert(f"{__file__}:translator", tmp_path / "mlx")
    done.check()
    assert validate(tmp_path / "mlx", f"{__file__}:translator").ok
    assert {one["size"].partition(":")[0] for one in done.outputs} == {"encode", "decode", "loss"}


def test_it_is_analysed_and_is_as_before(converted):
    module, _, _ = converted
    found = analyze(module, methods={"encode": examples()[0]})
    assert found.convertible and list(found.inputs) == ["tokens"]
    both = analyze(module, methods=translator()[1])
    assert "decode: memory" in both.inputs and both.convertible
    assert "forward" not in module.__dict__


@pytest.mark.parametrize("methods", [{}, {"translate": ()}, {"embedding": ()}, {"eval": ()}], ids=str)
def test_what_is_no_method_is_refused(methods):
    with pytest.raises(UsageError, match="method"):
        analyze(Translator(), methods=methods)
