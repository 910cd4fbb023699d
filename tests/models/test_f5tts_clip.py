"""The recording of a voice, clipped as the original clips it: tests/golden/f5_front_end.py holds what it makes."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pytorch_to_mlx.audio.silence import Pcm
from pytorch_to_mlx.audio.wav import read_pcm
from pytorch_to_mlx.models.f5tts.clip import TAIL_MS, clip_recording, with_tail

GOLDEN = Path(__file__).parent.parent / "golden"
CLIPS = json.loads((GOLDEN / "f5_front_end.json").read_text("utf-8"))["clips"]
spec = importlib.util.spec_from_file_location("f5_front_end", GOLDEN / "f5_front_end.py")
assert spec is not None and spec.loader is not None
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


@pytest.mark.parametrize("name", golden.SOUNDS)
def test_a_recording_is_clipped_as_the_original_does(name, tmp_path):
    rate, _, codec, _ = golden.SOUNDS[name]
    soundfile.write(tmp_path / "a.wav", golden.sound(name), rate, subtype=codec)
    result = with_tail(clip_recording(Pcm(*read_pcm(tmp_path / "a.wav"))).pcm, TAIL_MS)
    data = result.samples.astype(f"<i{result.bits // 8}").tobytes()
    numbers = [result.rate, result.bits, result.samples.shape[1], len(result.samples)]
    assert [*numbers, hashlib.md5(data).hexdigest()] == CLIPS[name]


@pytest.mark.parametrize(
    ("name", "cut"),
    [("silence around", "no"), ("long pauses", "pause"), ("short pauses", "pause"), ("no pause", "hard")],
)
def test_a_clip_tells_whether_its_end_is_missing(name, cut, tmp_path):
    rate, _, codec, _ = golden.SOUNDS[name]
    soundfile.write(tmp_path / "a.wav", golden.sound(name), rate, subtype=codec)
    assert clip_recording(Pcm(*read_pcm(tmp_path / "a.wav"))).cut == cut


def test_stereo_becomes_mono_by_the_mean():
    pcm = Pcm(np.array([[16384, -16384], [16384, 0]], np.int32), 24000, 16)
    assert pcm.to_float().tolist() == [0.0, 0.25]
