"""nn/relative.py and its positions against ESPnet's, as CosyVoice has them."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from parity import assert_close

from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.nn import relative
from pytorch_to_mlx.nn.cache import KVCache
from pytorch_to_mlx.nn.positions import relative_sinusoids
from pytorch_to_mlx.nn.relative import CausalRelativeAttention, RelativeAttention
from pytorch_to_mlx.nn.stream import Stream

SIZE, HEADS = 32, 4
NAMES = {"q_proj": "linear_q", "k_proj": "linear_k", "v_proj": "linear_v", "o_proj": "linear_out"}


@pytest.fixture(scope="module")
def pair():
    (attention,) = original("cosyvoice.transformer.attention")
    torch.manual_seed(0)
    theirs = attention.RelPositionMultiHeadedAttention(HEADS, SIZE, 0.0).eval()
    ours = RelativeAttention(SIZE, HEADS)
    for mine, name in (*NAMES.items(), ("pos_proj", "linear_pos")):
        for part, value in getattr(theirs, name).state_dict().items():
            ours[mine][part] = mx.array(value.numpy())
    for name in ("pos_bias_u", "pos_bias_v"):
        ours[name] = mx.array(getattr(theirs, name).detach().numpy())
    return theirs, ours


@pytest.mark.parametrize(("length", "channels"), [(1, 8), (7, 32), (400, 512)])
def test_positions(length, channels):
    (embedding,) = original("cosyvoice.transformer.embedding")
    theirs = embedding.EspnetRelPositionalEncoding(channels, 0.0).position_encoding(0, length)[0]
    # One frequency may differ in its last bit, 6e-8, which 400 steps away has grown.
    np.testing.assert_allclose(
        np.array(relative_sinusoids(length - 1, 1 - length, channels)), theirs, rtol=0, atol=5e-5
    )


@pytest.mark.parametrize("length", [1, 2, 13])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(pair, length, masked):
    theirs, ours = pair
    rng = np.random.default_rng(length)
    x = rng.standard_normal((2, length, SIZE)).astype(np.float32)
    positions = np.array(relative_sinusoids(length - 1, 1 - length, SIZE))
    mask = rng.random((length, length)) < 0.6
    np.fill_diagonal(mask, True)
    t, p = torch.from_numpy(x), torch.from_numpy(positions)[None]
    with torch.no_grad():
        expected, _ = theirs(t, t, t, torch.from_numpy(mask)[None] if masked else torch.ones(0, 0, 0), p)
    got = ours(mx.array(x), mx.array(positions), Stream(), mx.array(mask) if masked else None)
    assert_close(got, expected)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("before", [0, 5])
def test_many_steps_are_the_same_in_blocks(pair, monkeypatch, masked, before):
    _, ours = pair
    rng = np.random.default_rng(0)
    past, x = (mx.array(rng.standard_normal((2, n, SIZE)).astype(np.float32)) for n in (before, 13))
    mask = mx.array(rng.random((13, before + 13)) < 0.6) | (mx.arange(before + 13) == 0) if masked else None
    positions = relative_sinusoids(before + 12, -12, SIZE)

    def attended():
        stream = Stream()
        if before:
            with stream.piece(False):
                ours(past, relative_sinusoids(before - 1, 1 - before, SIZE), stream)
        with stream.piece(True):
            return ours(x, positions, stream, mask)

    whole = attended()
    monkeypatch.setattr(relative, "MAX_SCORES", 4 * 2 * HEADS * (before + 26))
    assert_close(attended(), np.array(whole))


def test_with_what_came_before(pair):
    """Two pieces, each seeing all until its end, are the whole with the mask that says so."""
    _, ours = pair
    x = mx.random.normal((1, 11, SIZE), key=mx.random.key(0))
    mask = mx.array([[j < (6 if i < 6 else 11) for j in range(11)] for i in range(11)])
    whole = ours(x, relative_sinusoids(10, -10, SIZE), Stream(), mask)
    stream, pieces = Stream(), []
    for start, end in ((0, 6), (6, 11)):
        with stream.piece(final=end == 11) as running:
            pieces.append(ours(x[:, start:end], relative_sinusoids(end - 1, start + 1 - end, SIZE), running))
    assert_close(mx.concatenate(pieces, axis=1), whole)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="does not divide into 3 heads"):
        RelativeAttention(32, 3)
    with pytest.raises(ValueError, match="even number"):
        relative_sinusoids(3, -3, 7)


@pytest.mark.parametrize("ends", [(1, 2, 3, 13), (13,), (6, 300, 301)], ids=str)
def test_causal_attention_is_the_same_with_a_causal_mask(pair, ends, monkeypatch):
    """Piece by piece after what its cache holds, also where blocks of queries are small and the positions grow."""
    monkeypatch.setattr(relative, "MAX_SCORES", 2 * HEADS * 40)
    _, ours = pair
    causal = CausalRelativeAttention(SIZE, HEADS)
    for part in ("weight", "bias"):
        causal.qkv_proj[part] = mx.concatenate([ours[f"{x}_proj"][part] for x in "qkv"])
    for name in ("o_proj", "pos_proj", "pos_bias_u", "pos_bias_v"):
        causal[name] = ours[name]
    x = mx.array(np.random.default_rng(0).standard_normal((2, ends[-1], SIZE)).astype(np.float32))
    mask = mx.arange(ends[-1]) <= mx.arange(ends[-1])[:, None]
    whole = ours(x, relative_sinusoids(ends[-1] - 1, 1 - ends[-1], SIZE), Stream(), mask)
    cache = KVCache()
    pieces = [causal(x[:, start:end], cache) for start, end in zip((0, *ends), ends, strict=False)]
    assert_close(mx.concatenate(pieces, axis=1), whole)
