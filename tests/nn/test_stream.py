"""nn/stream.py: each layer over pieces of a signal against the layer over the whole, bit for bit."""

from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.audio.stft import hann_window
from pytorch_to_mlx.nn.conv import Conv1d, ConvTranspose1d
from pytorch_to_mlx.nn.stream import Stream

FOURIER = {"n_fft": 16, "hop_length": 4, "window": hann_window(16)}


class Net:
    """Every method of Stream at once; the two sides of `add` have different delays."""

    def __init__(self):
        mx.random.seed(0)
        self.ahead = Conv1d(3, 4, 5, padding=(0, 4))
        self.dilated = Conv1d(4, 4, 7, padding=9, dilation=3)
        self.down = Conv1d(4, 4, 6, stride=3, padding=1)
        self.ups = [
            ConvTranspose1d(4, 3, 11, stride=5, padding=3),
            ConvTranspose1d(3, 1, 3, stride=2, output_padding=1),
        ]
        self.causal = Conv1d(4, 4, 3, padding=(2, 0))
        self.pointwise = Conv1d(4, 4, 1)

    def __call__(self, x, stream):
        x = stream.conv1d(self.ahead, x)
        x = stream.add(stream.conv1d(self.pointwise, x), stream.conv1d(self.dilated, x))
        x = stream.conv1d(self.causal, stream.conv1d(self.down, x))
        for up in self.ups:
            x = stream.conv_transpose1d(up, x)
        spec = stream.stft(x.squeeze(-1), **FOURIER)
        return stream.istft(spec * mx.abs(spec), **FOURIER)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_the_whole(seed):
    rng = np.random.default_rng(seed)
    net, length = Net(), int(rng.integers(70, 200))
    x = mx.array(rng.standard_normal((2, length, 3)).astype(np.float32))
    whole = net(x, Stream())
    cuts = np.unique([0, rng.integers(50, 70), *range(72, length - 2, rng.integers(3, 30)), length])
    stream, pieces = Stream(), []
    for start, end in pairwise(cuts):
        last = end == length
        with stream.piece(final=last and seed % 2 == 0) as running:
            pieces.append(net(x[:, int(start) : int(end)], running))
        forked = stream.copy()
    if seed % 2:  # the end comes without anything new, and a copy goes its own way
        for branch in (forked, stream):
            with branch.piece(final=True) as running:
                end = net(x[:, :0], running)
        pieces.append(end)
    got = mx.concatenate(pieces, axis=1)
    assert got.shape == whole.shape
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-5 * float(mx.abs(whole).max()))


def test_so_far_of_copies():
    """Memory grows in place, but a copy of the stream does not see what the other has added."""
    x = mx.arange(60).reshape(1, 2, 30)
    first = Stream()

    def give(stream, start, end, final=False):
        with stream.piece(final) as running:
            return running.history(x[:, :, start:end], axis=2)

    give(first, 0, 4)
    give(first, 4, 6)
    second = first.copy()
    give(first, 6, 8)
    np.testing.assert_array_equal(give(second, 20, 30, final=True), x[:, :, [*range(6), *range(20, 30)]])
    np.testing.assert_array_equal(give(first, 8, 30, final=True), x)
