"""Silence and lengths by pydub's rules; tests/models/test_f5tts_clip.py compares whole recordings with the original."""

import warnings

import numpy as np
import pytest
import soundfile

from pytorch_to_mlx.audio.silence import Pcm, find_silence, interpolate, split_on_silence, trim_silence
from pytorch_to_mlx.audio.wav import read_pcm
from pytorch_to_mlx.errors import FormatError


def recording(*parts, rate=1000):
    """Parts of (milliseconds, level), a sample for each millisecond."""
    levels = np.concatenate([np.full(ms * rate // 1000, level) for ms, level in parts])
    return Pcm((levels * (1 - 2 * (np.arange(len(levels)) % 2)))[:, None].astype(np.int32), rate, 16)


def test_silences_are_found_in_milliseconds():
    pcm = recording((500, 9000), (305, 0), (400, 9000), (200, 1))
    assert find_silence(pcm, min_ms=100, threshold_db=-50) == [(500, 800), (1210, 1405)]
    assert find_silence(pcm, min_ms=310, threshold_db=-50) == []
    assert find_silence(pcm, min_ms=2000, threshold_db=-50) == []


def test_neighbours_share_the_silence_between_them():
    pcm = recording((500, 9000), (300, 0), (400, 9000))
    assert [part.ms for part in split_on_silence(pcm, min_ms=100, threshold_db=-50, keep_ms=1000)] == [650, 550]
    assert [part.ms for part in split_on_silence(pcm, min_ms=100, threshold_db=-50, keep_ms=50)] == [550, 450]
    assert list(split_on_silence(recording((900, 0)), min_ms=100, threshold_db=-50, keep_ms=50)) == []


def test_ends_are_trimmed_in_steps_of_10_ms():
    assert trim_silence(recording((123, 0), (500, 9000), (47, 10)), threshold_db=-42).ms == 510
    assert trim_silence(recording((500, 9000)), threshold_db=-42).ms == 500
    assert trim_silence(recording((500, 0)), threshold_db=-42).ms == 0


def test_joining_takes_the_higher_rate_the_wider_samples_and_all_channels():
    narrow = Pcm(np.array([[1], [-2]], np.int32), 8000, 8)
    joined = narrow + Pcm(np.full((3, 2), 7, np.int32), 8000, 16)
    assert (joined.rate, joined.bits) == (8000, 16)
    assert joined.samples.tolist() == [[256, 256], [-512, -512], [7, 7], [7, 7], [7, 7]]
    assert len((Pcm.silent(50) + Pcm(np.zeros((0, 1), np.int32), 24000, 16)).samples) == 1198


@pytest.mark.parametrize(("source", "target"), [(8000, 11025), (11025, 8000), (3, 2), (24000, 48000)])
def test_interpolation_is_audioops(source, target):
    with warnings.catch_warnings(action="ignore"):  # it is deprecated; Python 3.13 has none
        audioop = pytest.importorskip("audioop")
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (777, 2)).astype(np.int16)
    expected, _ = audioop.ratecv(samples.tobytes(), 2, 2, source, target, None)
    assert interpolate(samples, source, target, 16).astype(np.int16).tobytes() == expected


@pytest.mark.parametrize(
    ("codec", "bits", "expected"),
    [
        ("PCM_U8", 8, [[64, -64], [1, -1]]),
        ("PCM_16", 16, [[16384, -16384], [256, -256]]),
        ("PCM_24", 32, [[1 << 30, 255 - (1 << 30)], [1 << 24, 255 - (1 << 24)]]),
        ("PCM_32", 32, [[1 << 30, -(1 << 30)], [1 << 24, -(1 << 24)]]),
        ("FLOAT", 32, [[1 << 30, -(1 << 30)], [1 << 24, -(1 << 24)]]),
    ],
)
def test_whole_numbers_are_read_as_pydub_reads_them(tmp_path, codec, bits, expected):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, -0.5], [1 / 128, -1 / 128]]), 8000, subtype=codec)
    samples, rate, found = read_pcm(tmp_path / "a.wav")
    assert (samples.tolist(), rate, found) == (expected, 8000, bits)


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="not audio"):
        read_pcm(b"not audio at all")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(FormatError, match="NaN"):
        read_pcm(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "long.wav", np.zeros(9000), 8000)
    with pytest.raises(FormatError, match="longer than 1 s"):
        read_pcm(tmp_path / "long.wav", max_seconds=1)
    data = (tmp_path / "long.wav").read_bytes()[:-100]
    with pytest.raises(FormatError, match="cut"):
        read_pcm(data)
