"""State that a caller keeps: a KV cache goes in and comes out as the same tree, and grows from call to call."""

import shutil

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from pytorch_to_mlx import convert, validate
from pytorch_to_mlx.codegen.capture.tensors import to_numpy
from pytorch_to_mlx.codegen.convert_module import load_generated


class Attention(nn.Module):
    """Causal self-attention over what the cache holds and the new steps."""

    def __init__(self, width=16, heads=2):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, past):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        k, v = torch.cat([past["k"], k], dim=2), torch.cat([past["v"], v], dim=2)
        new, every = q.shape[2], k.shape[2]
        seen = torch.arange(every)[None] <= torch.arange(new)[:, None] + (every - new)
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(y.transpose(1, 2).flatten(2)), {"k": k, "v": v}


class Decoder(nn.Module):
    """A cache for each layer: a list of dictionaries."""

    def __init__(self, vocabulary=20, width=16, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Attention(width) for _ in range(layers))

    def forward(self, tokens, cache):
        x, longer = self.embedding(tokens), []
        for layer, past in zip(self.layers, cache, strict=True):
            y, past = layer(x, past)
            x, longer = x + y, [*longer, past]
        return x @ self.embedding.weight.T, longer


def past(length, layers=2):
    return [{"k": torch.randn(1, 2, length, 8), "v": torch.randn(1, 2, length, 8)} for _ in range(layers)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    torch.manual_seed(0)
    decoder, folder = Decoder().eval(), tmp_path_factory.mktemp("decoder") / "mlx"
    example = (torch.randint(0, 20, (1, 3)), past(4))
    done = convert(decoder, folder, example_inputs=example)
    assert done.ok, done.to_dict()
    return decoder, example, folder


def test_steps_through_a_cache_are_the_whole(converted):
    decoder, _, folder = converted
    model = load_generated(folder)
    tokens = torch.randint(0, 20, (1, 12))
    empty = [{name: x[:, :, :0] for name, x in layer.items()} for layer in past(1)]
    with torch.no_grad():
        want = decoder(tokens, empty)[0].numpy()
        logits, start = decoder(tokens[:, :2], empty)
    cache = [{name: mx.array(x.numpy()) for name, x in layer.items()} for layer in start]
    got = [logits.numpy()]
    for begin, end in ((2, 5), (5, 7), (7, 12)):
        y, cache = model(mx.array(tokens[:, begin:end].numpy()), cache)
        got.append(to_numpy(y))
    assert cache[1]["k"].shape == (1, 2, 12, 8)
    np.testing.assert_allclose(np.concatenate(got, axis=1), want, rtol=1e-5, atol=1e-5)


def test_a_changed_weight_is_named(converted, tmp_path):
    decoder, example, folder = converted
    spoilt = shutil.copytree(folder, tmp_path / "spoilt")
    weights = load_file(spoilt / "model.safetensors")
    weights["layers.1.out.weight"][3, 3] += 0.5
    save_file(weights, spoilt / "model.safetensors")
    done = validate(spoilt, decoder, example)
    assert not done.ok
    wrong = [one["path"] for one in done.submodules if not one["ok"]]
    assert "layers.1.out" in wrong and "layers.0" not in wrong


class Counted(nn.Module):
    """Counts its calls, and keeps the last input: no result depends on either."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(1, dtype=torch.long))
        self.register_buffer("last", torch.zeros(3, 4))

    def forward(self, x):
        self.calls += 1
        self.last.copy_(x)
        return self.layer(x)


def test_buffers_that_no_result_depends_on_are_updated(tmp_path):
    """The right values: 2 calls, and the input of the last."""
    convert(Counted(), tmp_path / "mlx", example_inputs=torch.randn(3, 4)).check()
    model = load_generated(tmp_path / "mlx")
    model(mx.zeros((3, 4)))
    model(mx.ones((3, 4)))
    assert model.calls.tolist() == [2] and model.last.tolist() == [[1] * 4] * 3
