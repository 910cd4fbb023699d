"""nn/nsf.py against SineGen and SourceModuleHnNSF of kokoro 0.9.4."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from kokoro.istftnet import SourceModuleHnNSF
from parity import assert_close

from pytorch_to_mlx.nn.nsf import HarmonicSource, harmonic_phase

UPSAMPLE = 300


def contour(frames, seed=0):
    """A pitch contour in Hz that glides, jumps, and is unvoiced (also negative) in places."""
    rng = np.random.default_rng(seed)
    f0 = 160 + 60 * np.sin(np.arange(frames) / 7) + rng.standard_normal(frames)
    f0[rng.random(frames) < 0.2] = rng.standard_normal(1)[0] * 3
    return f0.astype(np.float32)[None]


def torch_phase(f0, seed=0):
    """The phase inside SineGen._f02sine, taken where it calls torch.sin; random initial phases from the seed."""
    torch.manual_seed(seed)
    seen = {}
    source = SourceModuleHnNSF(24000, UPSAMPLE, harmonic_num=8, voiced_threshod=10)
    upsampled = torch.nn.Upsample(scale_factor=UPSAMPLE)(torch.from_numpy(f0)[:, None]).transpose(1, 2)
    real = torch.sin
    torch.sin = lambda x: real(seen.setdefault("phase", x))
    try:
        source.l_sin_gen(upsampled)
    finally:
        torch.sin = real
    return seen["phase"].numpy()


@pytest.mark.parametrize("frames", [1, 2, 3, 61, 437])
def test_phase_is_the_same_bit_for_bit(frames):
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        raise RuntimeError("this CPU has no fused multiply-add; PyTorch rounds differently on it")
    f0 = contour(frames)
    ours = harmonic_phase(mx.array(f0), np.arange(frames * UPSAMPLE), sample_rate=24000, upsample=UPSAMPLE, harmonics=8)
    np.testing.assert_array_equal(np.array(ours), torch_phase(f0))


def test_initial_phases_change_no_bit():
    f0 = contour(61)
    np.testing.assert_array_equal(torch_phase(f0, seed=1), torch_phase(f0, seed=2))
    with pytest.raises(ValueError, match="initial phases would matter"):
        HarmonicSource(sample_rate=24000, upsample=2)


def test_source(monkeypatch):
    torch.manual_seed(0)
    f0 = contour(90)
    noise = np.random.default_rng(1).standard_normal((1, 90 * UPSAMPLE, 9)).astype(np.float32)
    theirs = SourceModuleHnNSF(24000, UPSAMPLE, harmonic_num=8, voiced_threshod=10)
    ours = HarmonicSource(sample_rate=24000, upsample=UPSAMPLE, voiced_threshold=10)
    ours.linear.weight = mx.array(theirs.l_linear.weight.detach().numpy())
    ours.linear.bias = mx.array(theirs.l_linear.bias.detach().numpy())
    assert ours.noise_shape(mx.array(f0)) == noise.shape

    def injected(like):
        return torch.from_numpy(noise) if like.shape[-1] == 9 else torch.zeros_like(like)

    monkeypatch.setattr(torch, "randn_like", injected)
    with torch.no_grad():
        merged, _, _ = theirs(torch.nn.Upsample(scale_factor=UPSAMPLE)(torch.from_numpy(f0)[:, None]).transpose(1, 2))
    assert_close(ours(mx.array(f0), mx.array(noise)), merged[..., 0])
