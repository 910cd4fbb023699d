"""Every layout against torch: the same layer computes the same with our weight, and the inverse is exact."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch

from pytorch_to_mlx.weights import (
    CHANNELS,
    CONCAT,
    CONV1D,
    CONV2D,
    CONV_TRANSPOSE1D,
    CONV_TRANSPOSE1D_DEPTHWISE,
    CONV_TRANSPOSE2D,
    LINEAR_T,
    LSTM_BIAS,
    POINTWISE,
    WEIGHT_NORM,
    concat,
    conv_transpose1d,
    permute,
    rotary_halves,
)


def ours(tensor: torch.Tensor) -> mx.array:
    return mx.array(tensor.detach().numpy())


def near(ours: mx.array, torchs: torch.Tensor) -> None:
    np.testing.assert_allclose(np.array(ours), torchs.detach().numpy(), rtol=1e-5, atol=1e-5)


def channels_last(x: torch.Tensor) -> mx.array:
    return ours(x.movedim(1, -1))


@pytest.mark.parametrize(
    ("layout", "twin", "shape"),
    [
        (CONV1D, torch.nn.Conv1d(4, 6, 3, bias=False), (2, 4, 9)),
        (CONV1D, torch.nn.Conv1d(4, 6, 3, groups=2, bias=False), (2, 4, 9)),
        (CONV2D, torch.nn.Conv2d(4, 6, (3, 2), bias=False), (2, 4, 9, 8)),
        (CONV2D, torch.nn.Conv2d(4, 8, 3, groups=4, bias=False), (2, 4, 9, 8)),
        (CONV_TRANSPOSE1D, torch.nn.ConvTranspose1d(4, 6, 5, bias=False), (2, 4, 9)),
        (conv_transpose1d(2), torch.nn.ConvTranspose1d(4, 6, 5, groups=2, bias=False), (2, 4, 9)),
        (CONV_TRANSPOSE1D_DEPTHWISE, torch.nn.ConvTranspose1d(4, 4, 3, groups=4, bias=False), (2, 4, 9)),
        (conv_transpose1d(4), torch.nn.ConvTranspose1d(4, 4, 3, groups=4, bias=False), (2, 4, 9)),
        (CONV_TRANSPOSE2D, torch.nn.ConvTranspose2d(4, 6, (3, 2), bias=False), (2, 4, 5, 4)),
    ],
    ids=lambda v: getattr(v, "name", None) or type(v).__name__,
)
def test_convolution_computes_the_same(layout, twin, shape):
    x = torch.randn(shape)
    weight = layout.to_mlx(ours(twin.weight))
    convolve = {
        "Conv1d": mx.conv1d,
        "Conv2d": mx.conv2d,
        "ConvTranspose1d": mx.conv_transpose1d,
        "ConvTranspose2d": mx.conv_transpose2d,
    }[type(twin).__name__]
    y = convolve(channels_last(x), weight, groups=twin.groups)
    near(y, twin(x).movedim(1, -1))
    assert layout.problem(tuple(twin.weight.shape)) == ""
    assert mx.array_equal(layout.to_torch(weight), ours(twin.weight))


def test_linear_t_is_a_matrix_stored_in_by_out():
    x, stored = torch.randn(3, 5), torch.randn(5, 7)
    layer = nn.Linear(5, 7, bias=False)
    layer.weight = LINEAR_T.to_mlx(ours(stored))
    near(layer(ours(x)), x @ stored)
    assert mx.array_equal(LINEAR_T.to_torch(layer.weight), ours(stored))


def test_pointwise_convolution_is_a_linear():
    x, twin = torch.randn(2, 5, 6), torch.nn.Conv1d(5, 7, 1)
    layer = nn.Linear(5, 7)
    layer.weight, layer.bias = POINTWISE.to_mlx(ours(twin.weight)), POINTWISE.to_mlx(ours(twin.bias))
    near(layer(channels_last(x)), twin(x).movedim(1, -1))
    assert mx.array_equal(POINTWISE.to_torch(layer.weight), ours(twin.weight))
    assert mx.array_equal(POINTWISE.to_torch(layer.bias), ours(twin.bias))


def test_channels():
    stored = mx.random.normal((1, 7, 1))
    assert CHANNELS.to_mlx(stored).shape == (7,)
    assert mx.array_equal(CHANNELS.to_torch(CHANNELS.to_mlx(stored)), stored)


@pytest.mark.parametrize(
    "layout", [CONV1D, CONV2D, CONV_TRANSPOSE1D, conv_transpose1d(2), LINEAR_T, permute("ABC->CAB")]
)
def test_inverse_is_exact_in_every_dtype(layout):
    for dtype in (mx.float32, mx.float16, mx.bfloat16, mx.int8):
        x = mx.random.randint(-100, 100, (4, 2, 3, 5)[: layout.rank]).astype(dtype)
        assert mx.array_equal(layout.to_torch(layout.to_mlx(x)), x)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (CONV1D, (2, 3)),
        (CONV1D, (2, 3, 4, 5)),
        (LINEAR_T, ()),
        (CONV_TRANSPOSE1D_DEPTHWISE, (4, 2, 3)),
        (conv_transpose1d(3), (4, 2, 3)),
        (POINTWISE, (4, 2, 3)),
        (CHANNELS, (4, 2, 1)),
        (CHANNELS, (4,)),
    ],
)
def test_wrong_shape_is_said(layout, shape):
    assert layout.problem(shape)


def test_permute_refuses_other_axes():
    with pytest.raises(ValueError, match="same axes"):
        permute("OIK->OIJ")


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("dim", [0, 2, None])
@pytest.mark.parametrize("shape", [(6, 4, 3), (512, 256, 7), (1, 4, 1)])
def test_weight_norm_as_torch(shape, dim, scale):
    v = torch.randn(shape) * scale
    g = torch.rand(()) if dim is None else torch.rand([n if i == dim else 1 for i, n in enumerate(shape)])
    theirs = torch._weight_norm(v, g, -1 if dim is None else dim)
    mine = np.array(WEIGHT_NORM.join([ours(g), ours(v)]))
    exact = torch._weight_norm(v.double(), g.double(), -1 if dim is None else dim).numpy()
    floor = np.abs(theirs.numpy() - exact).max()
    assert np.abs(mine - exact).max() <= max(floor, np.finfo(np.float32).eps * np.abs(exact).max())
    if dim == 0:  # a sum of few numbers: torch's own float32 error is a few units in the last place
        np.testing.assert_array_almost_equal_nulp(mine, theirs.numpy(), nulp=8)


@pytest.mark.parametrize("dim", [0, 2])
def test_weight_norm_of_both_torch_modules(dim):
    new = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(4, 6, 3), dim=dim)
    state = new.state_dict()
    folded = WEIGHT_NORM.join([ours(state[f"parametrizations.weight.original{i}"]) for i in (0, 1)])
    near(folded, new.weight)


def test_weight_norm_again_after_its_inverse():
    g, v = mx.random.uniform(shape=(6, 1, 1)), mx.random.normal((6, 4, 3))
    once = WEIGHT_NORM.join([g, v])
    twice = WEIGHT_NORM.join(WEIGHT_NORM.cut(once, 2))
    np.testing.assert_allclose(np.array(twice), np.array(once), rtol=1e-6)


def test_weight_norm_of_zeros_is_nan_as_in_torch():
    w = WEIGHT_NORM.join([mx.ones((2, 1, 1)), mx.zeros((2, 3, 3))])
    assert np.isnan(np.array(w)).all()
    assert torch._weight_norm(torch.zeros(2, 3, 3), torch.ones(2, 1, 1), 0).isnan().all()


@pytest.mark.parametrize("shapes", [((3, 1, 1), (4, 2, 2)), ((4,), (4, 2, 2)), ((4, 3, 1), (4, 2, 2))])
def test_weight_norm_refuses_a_g_that_does_not_fit(shapes):
    assert WEIGHT_NORM.check(shapes)


def test_lstm_with_one_bias_computes_the_same():
    twin = torch.nn.LSTM(5, 6, batch_first=True)
    state = {k: ours(v) for k, v in twin.state_dict().items()}
    lstm = nn.LSTM(5, 6)
    lstm.Wx, lstm.Wh = state["weight_ih_l0"], state["weight_hh_l0"]
    lstm.bias = LSTM_BIAS.join([state["bias_ih_l0"], state["bias_hh_l0"]])
    x = torch.randn(2, 7, 5)
    near(lstm(ours(x))[0], twin(x)[0])
    assert mx.array_equal(LSTM_BIAS.join(LSTM_BIAS.cut(lstm.bias, 2)), lstm.bias)


def test_concat_in_shares():
    fused = mx.random.normal((18, 4))
    q, k, v = concat(7, 1, 1).cut(fused, 3)
    assert (q.shape, k.shape, v.shape) == ((14, 4), (2, 4), (2, 4))
    assert mx.array_equal(CONCAT.join([q, k, v]), fused)
    assert concat(7, 1, 1).cut_check((17, 4), 3)
    assert CONCAT.cut_check((), 3)
    assert CONCAT.check([(2, 4), (2, 5)])


@pytest.mark.parametrize(("layout", "shape"), [(CONV1D, (6, 4, 3)), (CONV2D, (6, 4, 3, 2)), (LINEAR_T, (4, 6))])
def test_weights_lie_in_memory_in_their_own_order(layout, shape):
    """A transposed view would be copied again by every call that reads it."""
    weight = layout.to_mlx(mx.random.normal(shape, key=mx.random.key(0)))
    mx.eval(weight)
    assert np.asarray(weight).flags.c_contiguous


def test_rotary_halves():
    """Two heads of four: neighbours (0, 1), (2, 3) become halves (0, 2), (1, 3); values are left alone."""
    assert rotary_halves(4, 1).to_mlx(mx.arange(8)).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    layout = rotary_halves(4, 2, fused=True)
    fused = mx.arange(24)[:, None]
    assert layout.to_mlx(fused)[:, 0].tolist() == [*(8 * part + i for part in (0, 1) for i in (0, 2, 1, 3, 4, 6, 5, 7)),
                                                   *range(16, 24)]  # fmt: skip
    assert mx.array_equal(layout.to_torch(layout.to_mlx(fused)), fused)
    assert "no heads of 4" in layout.problem((25, 3)) and layout.problem((24,))
