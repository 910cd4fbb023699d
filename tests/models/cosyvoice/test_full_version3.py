"""CosyVoice 3 at full size, with random weights: parity beside the original.

The original's classes of version 3 come from checkouts of FunAudioLLM/CosyVoice and Matcha-TTS on PYTHONPATH.
"""

import mlx.core as mx
import numpy as np
import pytest
from models.cosyvoice import release_version3

from pytorch_to_mlx.models.cosyvoice.card import CARD3
from pytorch_to_mlx.models.cosyvoice.reference import Reference
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream
from pytorch_to_mlx.validate.run import run

pytestmark = pytest.mark.full
CASES = {
    "voice": ["a voice of 1.0 s", "a voice of 3.3 s"],
    "language model": ["language model, 20 words after 14", "language model, 10 words after 0"],
    "offline": ["speech of 3 s", "speech of 1 s without a prompt"],
    "stream": ["speech of 3 s as in a stream"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parts = ("llm", "flow", "hift")
    return release_version3.write_release(tmp_path_factory.mktemp("full3"), release_version3.FULL, parts=parts)


@pytest.mark.parametrize("kind", CASES)
def test_parity(folder, kind):
    """The 12 blocks of the tokenizer against onnxruntime; the language model; all steps of the DiT in both masks."""
    report = run(Reference.open(folder), CARD3.taps, family="cosyvoice3", source="full size", cases=CASES[kind])
    report.check()
    audio = [tap for case in report.cases for tap in case.taps if tap.name == "audio"]
    assert all(tap.max_abs <= 3.3e-4 for tap in audio) and bool(audio) == (kind in ("offline", "stream"))


def test_vocoder_in_pieces_is_the_whole(folder):
    hift, rng = Reference.open(folder).model.hift, np.random.default_rng(0)
    mel = mx.array((np.cumsum(rng.standard_normal((1, 250, 80)) * 0.2, axis=1) - 4).astype(np.float32))
    whole = hift(mel, hift.noise(0)(0, 250 * 480))
    stream = HiftStream(hift, hift.noise(0))
    pieces = [stream.feed(mel[:, start : start + 50]) for start in range(0, 250, 50)]
    np.testing.assert_allclose(np.array(mx.concatenate([*pieces, stream.finish()], 1)), np.array(whole), atol=1e-6)
