"""Playback hands the samples to the device; without one, or without the package, it is one error."""

import sys
import types

import numpy as np
import pytest

from pytorch_to_mlx.audio.playback import player
from pytorch_to_mlx.errors import MachineError, MissingExtraError


class PortAudioError(Exception):
    pass


def device(monkeypatch, played, fault=None):
    class OutputStream:
        def __init__(self, **options):
            if fault:
                raise fault
            played.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, audio):
            played.append(audio)

    module = types.SimpleNamespace(OutputStream=OutputStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_the_device_gets_the_samples(monkeypatch):
    played = []
    device(monkeypatch, played)
    with player(24_000) as play:
        play(np.arange(3.0))
    assert played[0] == {"samplerate": 24_000, "channels": 1, "dtype": "float32"}
    np.testing.assert_array_equal(played[1], [[0], [1], [2]])


def test_no_device(monkeypatch):
    device(monkeypatch, [], PortAudioError("no device"))
    with pytest.raises(MachineError, match="no device"), player(24_000):
        pass


def test_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match="play"), player(24_000):
        pass
