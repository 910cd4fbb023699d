"""Blocks of diffusion transformers against their equations in float64, and piece by piece."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.nn.dit import ConvPositions, DiTBlock, TimeEmbedding, modulate
from pytorch_to_mlx.nn.rope import rotary_tables
from pytorch_to_mlx.nn.stream import Stream
from pytorch_to_mlx.weights import rotary_halves

SIZE, HEADS, WIDTH = 32, 4, 8


def rng_array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def block(**options):
    made = DiTBlock(SIZE, HEADS, WIDTH, 48, **options)
    made.update({name: {key: mx.array(rng_array(*value.shape, seed=len(name)) * 0.2) for key, value in layer.items()}
                 for name, layer in made.items()})  # fmt: skip
    return made


def wide(layer, x):
    return x @ np.array(layer.weight, np.float64).T + np.array(layer.bias, np.float64)


def turned(x, angles, neighbours):
    """x with each pair of features turned by its position's angle."""
    a, b = (x[..., ::2], x[..., 1::2]) if neighbours else np.split(x, 2, axis=-1)
    pairs = (a + 1j * b) * np.exp(1j * angles)
    return (
        np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)
        if neighbours
        else np.concatenate([pairs.real, pairs.imag], -1)
    )


def expected_block(made, x, modulation, angles, mask, neighbours=False):
    """One block in float64, position by position and head by head."""
    shift, scale, gate, shift2, scale2, gate2 = modulation

    def norm(y):
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)

    y = norm(x) * (1 + scale) + shift
    q, k, v = np.split(wide(made.qkv_proj, y), 3, axis=-1)
    heads = []
    for h in range(HEADS):
        qh, kh, vh = (a[..., h * WIDTH : (h + 1) * WIDTH] for a in (q, k, v))
        if "q_norm" in made:
            qh, kh = (
                a / np.sqrt((a**2).mean(-1, keepdims=True) + 1e-6) * np.array(weight)
                for a, weight in ((qh, made.q_norm.weight), (kh, made.k_norm.weight))
            )
        if h == 0 or not made.first_head_only:
            qh, kh = (turned(a, angles, neighbours) for a in (qh, kh))
        scores = qh @ kh.swapaxes(-1, -2) / np.sqrt(WIDTH)
        scores = np.where(mask, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ vh)
    x = x + gate * wide(made.o_proj, np.concatenate(heads, -1))
    y = wide(made.up_proj, norm(x) * (1 + scale2) + shift2)
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    return x + gate2 * wide(made.down_proj, y)


@pytest.mark.parametrize("neighbours", [False, True], ids=["halves", "neighbours"])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("first_head_only", [False, True])
def test_block(first_head_only, qk_norm, neighbours):
    """Where neighbours turn together, with the weights, also of the norms, reordered by the rule for it."""
    made, modulation = block(first_head_only=first_head_only, qk_norm=qk_norm), rng_array(6, 1, 1, SIZE, seed=1)
    x, tables = rng_array(2, 9, SIZE), rotary_tables(mx.arange(9), WIDTH, 10000.0)
    angles = np.arange(9)[:, None] * 10000.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)
    mask = np.arange(9) < (np.arange(9)[:, None] // 4 + 1) * 4
    expected = expected_block(made, x, modulation, angles, mask, neighbours)
    if neighbours:
        for layer, fused in (("qkv_proj", True), *((norm, False) for norm in ("q_norm", "k_norm") if norm in made)):
            for key, value in made[layer].items():
                made[layer][key] = rotary_halves(WIDTH, value.ndim, fused=fused).to_mlx(value)
    got = made(mx.array(x), mx.array(modulation), tables, Stream(), mx.array(mask))
    np.testing.assert_allclose(np.array(got), expected, rtol=0, atol=1e-5)


def test_positions_see_padding_as_the_edge():
    made, x = ConvPositions(SIZE, (15, 15), groups=4), mx.array(rng_array(2, 40, SIZE))
    is_step = mx.arange(40)[None, :, None] < mx.array([40, 23])[:, None, None]
    whole, short = made(x, Stream(), is_step), made(x[1:, :23], Stream())
    np.testing.assert_allclose(np.array(whole[1:, :23]), np.array(short), rtol=0, atol=1e-5)


def test_modulation_is_that_of_the_time():
    made, time = block(), rng_array(2, SIZE)
    got = np.array(made.modulation(mx.array(time)))
    expected = wide(made.time_proj, time / (1 + np.exp(-time))).reshape(2, 6, SIZE)
    np.testing.assert_allclose(got[:, :, 0].swapaxes(0, 1), expected, rtol=0, atol=1e-5)
    y = np.array(modulate(mx.array(rng_array(2, 3, SIZE)), *map(mx.array, got[:2])))
    assert y.shape == (2, 3, SIZE) and np.abs(y).max() < 20


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
