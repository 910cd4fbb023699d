"""A model hears the same audio from a path, from bytes and from samples."""

from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.audio.load import load_audio
from pytorch_to_mlx.audio.resample import resample
from pytorch_to_mlx.errors import FormatError, UsageError

TONE = np.sin(np.arange(22_050) / 20).astype(np.float32) / 2


def test_paths_and_bytes_are_read_and_resampled(tmp_path):
    path = wav.write(tmp_path / "a.wav", TONE, 22_050)
    samples = resample(wav.read(path)[0], 22_050, 16_000)
    for source in (path, str(path), Path(path).read_bytes()):
        audio = load_audio(source, 16_000)
        assert audio.dtype == np.float32 and audio.shape == (16_000,)
        np.testing.assert_array_equal(audio, samples)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_samples_are_taken_at_their_rate(dtype):
    audio = load_audio(TONE.astype(dtype), 16_000)
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, TONE.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("shape", [(), (2, 100), (1, 1, 5)])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(FormatError, match="mono at 16000 Hz"):
        load_audio(np.zeros(shape), 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value):
    with pytest.raises(FormatError, match="NaN or infinity"):
        load_audio(np.array([0.0, value]), 16_000)


def test_what_is_not_there_is_one_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_audio(tmp_path / "none.wav", 16_000)
