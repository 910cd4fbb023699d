"""Blocks of diffusion transformers against their equations in float64, and piece by piece."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.nn.dit import ConvPositions, DiTBlock, TimeEmbedding, modulate
from pytorch_to_mlx.nn.rope import rotary_tables, rotate_pairs
from pytorch_to_mlx.nn.stream import Stream
from pytorch_to_mlx.weights import rotary_halves

SIZE, HEADS, WIDTH = 32, 4, 8


def rng_array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def block(rotary_heads):
    made = DiTBlock(SIZE, HEADS, WIDTH, 48, rotary_heads)
    made.update({name: {key: mx.array(rng_array(*value.shape, seed=len(name)) * 0.2) for key, value in layer.items()}
                 for name, layer in made.items()})  # fmt: skip
    return made


def wide(layer, x):
    return x @ np.array(layer.weight, np.float64).T + np.array(layer.bias, np.float64)


def expected_block(made, x, modulation, angles, mask):
    """One block in float64, position by position and head by head."""
    shift, scale, gate, shift2, scale2, gate2 = modulation

    def norm(y):
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)

    y = norm(x) * (1 + scale) + shift
    q, k, v = np.split(wide(made.qkv_proj, y), 3, axis=-1)
    heads = []
    for h in range(HEADS):
        qh, kh, vh = (a[..., h * WIDTH : (h + 1) * WIDTH] for a in (q, k, v))
        if made.rotary_heads is None or h < made.rotary_heads:
            turn = np.exp(1j * angles)
            qh, kh = (((a[..., ::2] + 1j * a[..., 1::2]) * turn) for a in (qh, kh))
            qh, kh = (np.stack([a.real, a.imag], -1).reshape(vh.shape) for a in (qh, kh))
        scores = qh @ kh.swapaxes(-1, -2) / np.sqrt(WIDTH)
        scores = np.where(mask, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ vh)
    x = x + gate * wide(made.o_proj, np.concatenate(heads, -1))
    y = wide(made.up_proj, norm(x) * (1 + scale2) + shift2)
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    return x + gate2 * wide(made.down_proj, y)


@pytest.mark.parametrize("rotary_heads", [None, 1, 2])
def test_block(rotary_heads):
    made, x, modulation = block(rotary_heads), rng_array(2, 9, SIZE), rng_array(6, 1, 1, SIZE, seed=1)
    tables = rotary_tables(mx.arange(9), WIDTH, 10000.0)
    angles = np.arange(9)[:, None] * 10000.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)
    mask = np.arange(9) < (np.arange(9)[:, None] // 4 + 1) * 4
    expected = expected_block(made, x, modulation, angles, mask)
    got = made(mx.array(x), mx.array(modulation), tables, Stream(), mx.array(mask))
    np.testing.assert_allclose(np.array(got), expected, rtol=0, atol=1e-5)


def test_halves_with_reordered_weights_turn_as_neighbours():
    """With norms of queries and keys, whose weights are reordered too."""
    neighbours = DiTBlock(SIZE, HEADS, WIDTH, 48, qk_norm=True)
    halves = DiTBlock(SIZE, HEADS, WIDTH, 48, rotate=ops.rotate, qk_norm=True)
    norms = mx.array(1 + 0.3 * rng_array(2, WIDTH))
    neighbours.q_norm.weight, neighbours.k_norm.weight = norms
    halves.update(neighbours.parameters())
    halves.qkv_proj.weight = rotary_halves(WIDTH, 2, fused=True).to_mlx(neighbours.qkv_proj.weight)
    halves.qkv_proj.bias = rotary_halves(WIDTH, 1, fused=True).to_mlx(neighbours.qkv_proj.bias)
    halves.q_norm.weight, halves.k_norm.weight = (rotary_halves(WIDTH, 1).to_mlx(norm) for norm in norms)
    x, tables = mx.array(rng_array(2, 9, SIZE)), rotary_tables(mx.arange(9), WIDTH, 10000.0)
    both = [np.array(block.attend(x, tables, Stream())) for block in (neighbours, halves)]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-5)
    neighbours.q_norm.weight = mx.ones(WIDTH)
    assert np.abs(np.array(neighbours.attend(x, tables, Stream())) - both[0]).max() > 1e-3


def test_positions_see_padding_as_the_edge():
    made, x = ConvPositions(SIZE, (15, 15), groups=4), mx.array(rng_array(2, 40, SIZE))
    is_step = mx.arange(40)[None, :, None] < mx.array([40, 23])[:, None, None]
    whole, short = made(x, Stream(), is_step), made(x[1:, :23], Stream())
    np.testing.assert_allclose(np.array(whole[1:, :23]), np.array(short), rtol=0, atol=1e-5)


def test_modulation_is_that_of_the_time():
    made, time = block(None), rng_array(2, SIZE)
    got = np.array(made.modulation(mx.array(time)))
    expected = wide(made.time_proj, time / (1 + np.exp(-time))).reshape(2, 6, SIZE)
    np.testing.assert_allclose(got[:, :, 0].swapaxes(0, 1), expected, rtol=0, atol=1e-5)
    y = np.array(modulate(mx.array(rng_array(2, 3, SIZE)), *map(mx.array, got[:2])))
    assert y.shape == (2, 3, SIZE) and np.abs(y).max() < 20


def test_pairs_turn_by_their_angle():
    x = mx.array([[1.0, 0.0, 0.0, 2.0]])
    turned = np.array(rotate_pairs(x, mx.array([[0.0, 1.0]]), mx.array([[1.0, 0.0]])))
    np.testing.assert_array_equal(turned, [[0.0, 1.0, 0.0, 2.0]])


def test_time():
    made = TimeEmbedding(SIZE, 8)
    phase = 1000 * 0.3 * 10000.0 ** (-np.arange(4) / 3)
    hidden = wide_linear(made.proj1, np.concatenate([np.sin(phase), np.cos(phase)]))
    expected = wide_linear(made.proj2, hidden / (1 + np.exp(-hidden)))
    np.testing.assert_allclose(np.array(made(0.3))[0], expected, rtol=0, atol=1e-4)


def wide_linear(layer, x):
    return np.array(layer.weight, np.float64) @ x + np.array(layer.bias, np.float64)


@pytest.mark.parametrize("padding", [(30, 0), (15, 15)], ids=["causal", "centred"])
def test_positions_piece_by_piece(padding):
    made, x = ConvPositions(SIZE, padding, groups=4), mx.array(rng_array(1, 150, SIZE).astype(np.float32))
    whole, stream, pieces = made(x, Stream()), Stream(), []
    for start, end in ((0, 70), (70, 81), (81, 150)):
        with stream.piece(end == 150) as piece:
            pieces.append(made(x[:, start:end], piece))
    np.testing.assert_allclose(np.array(mx.concatenate(pieces, axis=1)), np.array(whole), rtol=0, atol=1e-6)
