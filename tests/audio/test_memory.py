"""A small file must not take a large memory: silence at a high rate shrinks a thousandfold in FLAC.

What is right: the returned samples take 4 bytes each, and the decoder needs some blocks besides; not the 4 bytes of
every sample at the file's own rate, which here are 370 MB.
"""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.errors import FormatError, MachineError

PEAK = """
import resource, sys
from pytorch_to_mlx.audio.load import load_audio
load_audio(sys.argv[2], 16_000)  # what the libraries take is not counted
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
samples = load_audio(sys.argv[1], 16_000)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(len(samples), peak * (1 if sys.platform == "darwin" else 1024))
"""


def silence(path, rate, minutes, channels=1):
    block = np.zeros((rate * 60, channels), np.int16)
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16", format="FLAC") as file:
        for _ in range(minutes):
            file.write(block)
    return path


def test_a_long_recording_at_a_high_rate(tmp_path):
    long, short = silence(tmp_path / "long.flac", 192_000, 8), silence(tmp_path / "short.flac", 192_000, 1)
    assert long.stat().st_size < 1_000_000
    done = subprocess.run([sys.executable, "-c", PEAK, long, short], capture_output=True, text=True)
    samples, peak = map(int, done.stdout.split())
    assert samples == 8 * 60 * 16_000 and peak < 4 * samples + 60_000_000, (samples, peak)


def test_too_many_samples_of_all_channels_are_refused_from_the_header(tmp_path, monkeypatch):
    path = silence(tmp_path / "wide.flac", 16_000, 1, channels=4)
    monkeypatch.setattr(wav, "MAX_SAMPLES", 4 * 16_000 * 59)
    with pytest.raises(FormatError, match="longer than 59 s"):
        wav.read(path)
    monkeypatch.setattr(wav, "MAX_SAMPLES", 4 * 16_000 * 60)
    assert len(wav.read(path)[0]) == 16_000 * 60


def test_memory_is_asked_for_before_decoding(tmp_path, monkeypatch):
    def refuse(needed, *, where):
        assert needed == 4 * 16_000 * 60
        raise MachineError("needs more memory", where=where)

    def decode(*_):
        yield pytest.fail("it was decoded")

    path = silence(tmp_path / "a.flac", 48_000, 1)
    monkeypatch.setattr(wav, "require_memory", refuse)
    monkeypatch.setattr(wav, "_blocks", decode)
    with pytest.raises(MachineError, match="memory"):
        wav.read(path, sample_rate=16_000)
