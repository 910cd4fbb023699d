"""Audio goes to the file, to the speakers, or to both; a broken run leaves no file."""

import numpy as np
import pytest

from pytorch_to_mlx.audio import playback, wav
from pytorch_to_mlx.audio.deliver import open_sinks
from pytorch_to_mlx.errors import UsageError

TONE = np.sin(np.arange(4_000) / 20).astype(np.float32) / 2


@pytest.fixture
def device(monkeypatch):
    """The samples that reach a stand-in for the sound device."""
    device = []

    class Player:
        def __init__(self, rate):
            assert rate == 16_000

        def __enter__(self):
            return device.append

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(playback, "player", Player)
    return device


@pytest.mark.parametrize("play", [False, True])
@pytest.mark.parametrize("write", [False, True])
def test_audio_goes_where_it_was_asked_for(tmp_path, device, write, play):
    path = tmp_path / "a.wav"
    with open_sinks(16_000, output=path if write else None, format="wav", play=play) as send:
        send(TONE[:1_000])
        send(TONE[1_000:])
    assert path.exists() == write and bool(device) == play
    if write:
        np.testing.assert_allclose(wav.read(path)[0], TONE, atol=1 / 32768)
    if play:
        np.testing.assert_array_equal(np.concatenate(device), TONE)


def test_a_broken_run_leaves_no_file(tmp_path, device):
    with (
        pytest.raises(KeyboardInterrupt),
        open_sinks(16_000, output=tmp_path / "a.wav", format=None, play=True) as send,
    ):
        send(TONE)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir()) and len(device) == 1


def test_a_file_that_cannot_be_written_is_refused_before_the_device_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(playback, "player", lambda rate: pytest.fail("the device was opened"))
    with pytest.raises(UsageError, match="formats"), open_sinks(16_000, output=tmp_path / "a", format="aac", play=True):
        pass
