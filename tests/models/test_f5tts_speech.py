"""From a recording and a text of several chunks to samples: those of f5-tts 1.1.22, by tests/golden/f5_speech.py."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from golden.f5_front_end import SOUNDS, sound
from golden.f5_networks import SEED
from golden.f5_speech import EVERY, REQUESTS, SOUND, STEPS, TEXT, TRANSCRIPT, VOCAB, golden
from models.f5tts_release import expected_weights
from models.test_f5tts_plan import OPTIONS
from models.test_vocos import original_state

from pytorch_to_mlx.models.f5tts.config import Config
from pytorch_to_mlx.models.f5tts.model import Model
from pytorch_to_mlx.models.f5tts.options import Options
from pytorch_to_mlx.models.f5tts.pipeline import F5Pipeline
from pytorch_to_mlx.models.f5tts.vocab import Tokenizer
from pytorch_to_mlx.models.vocos.config import Config as VocosConfig
from pytorch_to_mlx.models.vocos.model import Model as Vocos
from pytorch_to_mlx.models.vocos.pipeline import VocosPipeline
from pytorch_to_mlx.models.vocos.weights import WEIGHTS
from pytorch_to_mlx.weights import apply, load_into


@pytest.mark.parametrize("name", REQUESTS)
def test_chunks_are_spoken_and_joined_as_the_original_does(name, tmp_path):
    rate, _, codec, _ = SOUNDS[SOUND]
    soundfile.write(tmp_path / "a.wav", sound(SOUND), rate, subtype=codec)
    config = replace(Config.tiny(), vocab_size=len(VOCAB))
    model = load_into(Model(config), {key: mx.array(value) for key, value in expected_weights(config).items()})
    vocos = load_into(Vocos(VocosConfig.tiny()), apply(WEIGHTS, original_state()).weights)
    speaker = F5Pipeline(model, VocosPipeline(vocos), Tokenizer({token: i for i, token in enumerate(VOCAB)}))
    voice = speaker.voice(tmp_path / "a.wav", TRANSCRIPT, Options(as_original=True))
    choices = {OPTIONS[option]: value for option, value in REQUESTS[name].items()}
    pieces = list(speaker.generate(TEXT, voice=voice, as_original=True, seed=SEED, steps=STEPS, **choices))
    samples = np.concatenate([piece.audio for piece in pieces])
    expected = golden()
    assert [len(pieces), len(samples)] == expected[f"{name} sizes"].tolist()
    # Not the table's 1e-5: four guided steps of networks with random weights make rounding larger. MLX's operations and
    # the kernels, each within the table in every network by itself, are up to 2.1e-5 apart here.
    difference = np.abs(samples[::EVERY] - expected[name]).max()
    assert difference <= 5e-5 * np.abs(expected[name]).max()
