"""The recording of a voice, clipped as the original clips it: tests/golden/f5_front_end.py holds what it makes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from golden.f5_front_end import SOUNDS, sound

from pytorch_to_mlx.audio.silence import Pcm
from pytorch_to_mlx.audio.wav import read_pcm
from pytorch_to_mlx.models.f5tts.clip import TAIL_MS, clip_recording, with_tail, without_long_pauses
from pytorch_to_mlx.tasks import Speech

CLIPS = json.loads((Path(__file__).parent.parent / "golden" / "f5_front_end.json").read_text("utf-8"))["clips"]


@pytest.mark.parametrize("name", SOUNDS)
def test_a_recording_is_clipped_as_the_original_does(name, tmp_path):
    rate, _, codec, _ = SOUNDS[name]
    soundfile.write(tmp_path / "a.wav", sound(name), rate, subtype=codec)
    result = with_tail(clip_recording(Pcm(*read_pcm(tmp_path / "a.wav"))).pcm, TAIL_MS)
    data = result.samples.astype(f"<i{result.bits // 8}").tobytes()
    numbers = [result.rate, result.bits, result.samples.shape[1], len(result.samples)]
    assert [*numbers, hashlib.md5(data).hexdigest()] == CLIPS[name]


@pytest.mark.parametrize(
    ("name", "cut"),
    [("silence around", "no"), ("long pauses", "pause"), ("short pauses", "pause"), ("no pause", "hard")],
)
def test_a_clip_tells_whether_its_end_is_missing(name, cut, tmp_path):
    rate, _, codec, _ = SOUNDS[name]
    soundfile.write(tmp_path / "a.wav", sound(name), rate, subtype=codec)
    assert clip_recording(Pcm(*read_pcm(tmp_path / "a.wav"))).cut == cut


def test_stereo_becomes_mono_by_the_mean():
    pcm = Pcm(np.array([[16384, -16384], [16384, 0]], np.int32), 24000, 16)
    assert pcm.to_float().tolist() == [0.0, 0.25]


def test_long_pauses_are_taken_out_of_speech():
    tone = np.full(24000, 0.5, np.float32)
    pieces = [Speech(np.concatenate([tone, np.zeros(n, np.float32)]), 24000, "a") for n in (72000, 6000)]
    speech = without_long_pauses(pieces)
    assert speech.text == "a a"
    assert abs(speech.duration_s - (1 + 1 + 1 + 0.25)) < 0.02
    assert np.abs(speech.audio[:24000] - 0.5).max() < 1e-4
