"""plain.py computes the same on a CPU, where it avoids MLX's slow loops, as with MLX's own functions on a GPU."""

import mlx.core as mx
import numpy as np
import pytest
from backend.kernels import random, to_numpy

from pytorch_to_mlx.backend import plain


def on_both(monkeypatch, function):
    """The results of a function where plain.py thinks it is on a CPU, and where it thinks it is on a GPU."""
    results = []
    for cpu in (True, False):
        monkeypatch.setattr(plain, "on_cpu", lambda cpu=cpu: cpu)
        results.append(to_numpy(function()))
    return results


@pytest.mark.parametrize("padding", [0, 2, (4, 1)])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (3, 1, 1), (1, 3, 1), (2, 2, 6), (1, 1, 2)])
def test_conv1d(monkeypatch, padding, stride, dilation, groups):
    x, w, b = mx.array(random(2, 20, 6)), mx.array(random(12, 4, 6 // groups)), mx.array(random(12))
    options = dict(padding=padding, stride=stride, dilation=dilation, groups=groups)
    ours, mlx = on_both(monkeypatch, lambda: plain.conv1d(x, w, b, **options))
    assert ours.shape == mlx.shape
    np.testing.assert_allclose(ours, mlx, rtol=1e-5, atol=1e-5)
    added, mlx = on_both(monkeypatch, lambda: plain.conv1d(x, w, b, **options, add=mx.ones(ours.shape)))
    np.testing.assert_allclose(added, ours + 1, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mlx, ours + 1, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (2, 5), (6, 3), (1, 1), (7, 1)])
@pytest.mark.parametrize(("padding", "output_padding"), [(0, 0), (1, 0), (0, 1)])
def test_conv_transpose1d(monkeypatch, taps, stride, padding, output_padding):
    x, w, b = mx.array(random(2, 9, 6)), mx.array(random(4, taps, 6)), mx.array(random(4))
    options = dict(stride=stride, padding=padding, output_padding=output_padding)
    ours, mlx = on_both(monkeypatch, lambda: plain.conv_transpose1d(x, w, b, **options))
    assert ours.shape == mlx.shape == (2, 8 * stride - 2 * padding + taps + output_padding, 4)
    np.testing.assert_allclose(ours, mlx, rtol=1e-5, atol=1e-5)


def test_instance_norm(monkeypatch):
    x = mx.array(random(2, 30, 5, shift=3.0))
    ours, mlx = on_both(monkeypatch, lambda: plain.instance_norm(x, 1e-5, mx.ones(5), mx.zeros(5)))
    np.testing.assert_allclose(ours, mlx, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_a_float32_mask_closes_half_precision_scores(dtype):
    q, k, v = (mx.array(random(1, 2, length, 16)).astype(dtype) for length in (3, 5, 5))
    mask = np.zeros((3, 5), np.float32)
    mask[:, 2] = np.finfo(np.float32).min  # less than float16 holds
    ours = plain.attention(q, k, v, scale=0.25, mask=mx.array(mask))
    open_keys = mx.array([0, 1, 3, 4])
    without = plain.attention(q, k[:, :, open_keys], v[:, :, open_keys], scale=0.25)
    assert ours.dtype == dtype
    np.testing.assert_allclose(to_numpy(ours), to_numpy(without), rtol=0, atol=0.02)


def test_shapes_without_a_result_are_refused():
    x = mx.ones((1, 3, 2))
    with pytest.raises(ValueError, match="has no result"):
        plain.conv1d(x, mx.ones((4, 5, 2)))
    with pytest.raises(ValueError, match="has no result"):
        plain.conv_transpose1d(x, mx.ones((4, 1, 2)), padding=3)
    with pytest.raises(ValueError, match="add must have the shape"):
        plain.conv1d(x, mx.ones((4, 1, 2)), add=mx.ones((1, 2, 4)))


def test_patching_mlx_does_not_change_plain():
    """The names that patch_mlx() replaces are taken hold of before."""
    import subprocess
    import sys

    code = "import pytorch_to_mlx.backend as b, mlx.core as mx; old = mx.exp; b.patch_mlx()\n"
    code += "from pytorch_to_mlx.backend import plain; print(plain._exp is old, mx.exp is old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr
