"""Make f5_speech.npz: speech of f5-tts 1.1.22 with tiny networks, from a file and a text of several chunks to samples.

    python tests/golden/f5_speech.py F5_TTS

F5_TTS is the folder of that package. Needs it with its dependencies, pydub 0.25.1, torch 2.13.0 and torchaudio; Python
3.11. The networks are those of f5_networks.py. The original's threads race for the noise, so that chunk i is given the
seed SEED + i here, and there is one thread.
"""

import hashlib
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from golden.f5_front_end import SOUNDS, functions, sound
from golden.f5_networks import DIT, N_MELS, SEED, V1, fill

from pytorch_to_mlx.models.vocos.reference_imports import original

SOUND, TRANSCRIPT = "silence around", "some call me nature."
TEXT = "one sentence is here, and a second one, longer than that. " * 6
REQUESTS: dict[str, dict[str, Any]] = {"chunks": {}, "fixed": {"fix_duration": 12.0, "cross_fade_duration": 0.1}}
STEPS, EVERY = 4, 97  # one sample of so many is kept
VOCAB = [" ", *(f"{chr(97 + i // 2)}{i % 2 or ''}" for i in range(39))]


def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_suffix(".npz")) as file:
        return dict(file)


def main(f5_tts: Path) -> None:
    import pydub
    import rjieba
    import soundfile
    import torch
    import torchaudio
    from pydub import AudioSegment, silence
    from pypinyin import Style, lazy_pinyin
    from vocos import Vocos
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    dit, cfm = original("f5-tts", "f5_tts.model.backbones.dit", "f5_tts.model.cfm")
    network = dit.DiT(mel_dim=N_MELS, text_num_embeds=len(VOCAB), **DIT, **V1)
    model = fill(cfm.CFM(transformer=network, vocab_char_map={token: i for i, token in enumerate(VOCAB)}))
    parts = MelSpectrogramFeatures(), VocosBackbone(N_MELS, 32, 64, 2), ISTFTHead(32, 1024, 256, "center")
    vocos, sample = fill(Vocos(*parts)), model.sample
    torchaudio.load = lambda path: load(path, soundfile, torch)
    known: dict[str, Any] = {
        **{"re": re, "hashlib": hashlib, "tempfile": tempfile, "AudioSegment": AudioSegment, "silence": silence},
        **{"target_sample_rate": 24000, "hop_length": 256, "tqdm": None, "mel_spec_type": "vocos", "target_rms": 0.1},
        **{"cross_fade_duration": 0.15, "nfe_step": STEPS, "cfg_strength": 2.0, "sway_sampling_coef": -1.0},
        **{"speed": 1.0, "fix_duration": None, "device": "cpu", "pydub": pydub, "torch": torch, "np": np},
        **{"_ref_audio_cache": {}, "_ref_text_cache": {}, "tempfile_kwargs": {"delete": False}},
        **{"torchaudio": torchaudio, "ThreadPoolExecutor": lambda: ThreadPoolExecutor(1)},
        **{"rjieba": rjieba, "lazy_pinyin": lazy_pinyin, "Style": Style},
    }
    functions(f5_tts / "model" / "utils.py", {"convert_char_to_pinyin"}, known)
    names = {"chunk_text", "preprocess_ref_audio_text", "remove_silence_edges", "infer_process", "infer_batch_process"}
    functions(f5_tts / "infer" / "utils_infer.py", names, known)
    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        rate, _, codec, _ = SOUNDS[SOUND]
        soundfile.write(path, sound(SOUND), rate, subtype=codec)
        clip, transcript = known["preprocess_ref_audio_text"](str(path), TRANSCRIPT, show_info=lambda _: None)
        for name, options in REQUESTS.items():
            seeds = iter(range(SEED, SEED + 100))
            model.sample = lambda *args, seeds=seeds, **kwargs: sample(*args, **kwargs, seed=next(seeds))
            wave, _, _ = known["infer_process"](
                clip, transcript, TEXT, model, vocos, progress=None, show_info=lambda _: None, **options
            )
            n_chunks = next(seeds) - SEED
            assert n_chunks > 1
            arrays |= {name: wave[::EVERY].astype(np.float32), f"{name} sizes": np.array([n_chunks, len(wave)])}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


def load(path: str, soundfile: Any, torch: Any) -> tuple[Any, int]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(audio.T.copy()), rate


if __name__ == "__main__":
    main(Path(sys.argv[1]))
