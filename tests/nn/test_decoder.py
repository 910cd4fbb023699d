"""The decoder block beside Hugging Face's Qwen2 and mlx-lm's names."""

import mlx.core as mx
import pytest
import torch
from mlx.utils import tree_flatten
from parity import assert_close
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model

from pytorch_to_mlx.nn.cache import KVCache
from pytorch_to_mlx.nn.decoder import DecoderLayer
from pytorch_to_mlx.nn.rope import rotary_tables
from pytorch_to_mlx.weights import load_into


@pytest.mark.parametrize(("heads", "kv_heads", "length"), [(4, 2, 9), (6, 1, 40), (2, 2, 1)])
def test_layer_is_hugging_face_s(heads, kv_heads, length):
    torch.manual_seed(heads)
    sizes = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "num_hidden_layers": 1}
    config = Qwen2Config(hidden_size=16 * heads, intermediate_size=40, vocab_size=7, **sizes, rope_theta=1e6)
    theirs = Qwen2Model(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.3)
    weights = {n: mx.array(v.detach().numpy()) for n, v in theirs.layers[0].state_dict().items()}
    ours = load_into(DecoderLayer(16 * heads, 40, heads, kv_heads, 16), weights)
    x = torch.randn(2, length, 16 * heads)

    def run(x):
        with torch.no_grad():
            positions = theirs.rotary_emb(x, torch.arange(length)[None])
            mask = torch.full((length, length), -torch.inf, dtype=x.dtype).triu(1)[None, None]
            return theirs.layers[0](x, attention_mask=mask, position_embeddings=positions)

    narrow = run(x)
    theta = config.rope_parameters["rope_theta"]
    y = ours(mx.array(x.numpy()), rotary_tables(mx.arange(length), 16, theta))
    theirs.double()
    assert_close(y, narrow, run(x.double()))


def test_names_are_mlx_lm_s():
    names = {name for name, _ in tree_flatten(DecoderLayer(8, 8, 2, 1, 4).parameters())}
    assert {"self_attn.q_proj.bias", "self_attn.o_proj.weight", "mlp.gate_proj.weight"} <= names
    assert "self_attn.o_proj.bias" not in names
    assert not any("bias" in n for n, _ in tree_flatten(DecoderLayer(8, 8, 2, 1, 4, qkv_bias=False).parameters()))


def test_a_cache_gives_the_same_steps():
    layer, x = DecoderLayer(32, 40, 4, 2, 8), mx.random.normal((1, 7, 32))
    whole, cache = layer(x, rotary_tables(mx.arange(7), 8, 1e4)), KVCache()
    parts = [
        layer(x[:, a:b], rotary_tables(mx.arange(a, b), 8, 1e4), cache) for a, b in ((0, 4), (4, 5), (5, 6), (6, 7))
    ]
    assert_close(mx.concatenate(parts, axis=1), whole)
