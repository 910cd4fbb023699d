"""Write cosyvoice3.npz: what the classes of FunAudioLLM/CosyVoice ace7c47 give for CosyVoice 3, with seeded weights.

Run with checkouts of it and of Matcha-TTS, and x-transformers:
PYTHONPATH=COSYVOICE:MATCHA:.:tests python tests/golden/make_cosyvoice3.py
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models.cosyvoice.version3_cases import (
    FLOW_CASES,
    HIFT_FRAMES,
    LM_CASES,
    LM_TINY,
    MAX_RATIO,
    NOISE_PLACES,
    flow_inputs,
    flow_tiny_state,
    hift_tiny_state,
    mel_of,
    put_seeded_weights,
)

from pytorch_to_mlx.models.cosyvoice.config import Config3
from pytorch_to_mlx.models.cosyvoice.original.audio_version3 import build_causal_hift, build_dit_flow
from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.models.cosyvoice.original.lm import build_lm, lm_taps, lm_tokens, lm_tokens_of_stream
from pytorch_to_mlx.models.cosyvoice.original.taps import torch_f0
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE3
from pytorch_to_mlx.models.cosyvoice.vocoder.config import CausalHiftConfig

TINY = Config3.tiny()


def flow_taps(dtype: torch.dtype) -> dict[str, np.ndarray]:
    twin = build_dit_flow(TINY.flow)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in flow_tiny_state().items()})
    twin.to(dtype)
    twin.decoder.rand_noise = twin.decoder.rand_noise.to(dtype)
    taps: dict[str, np.ndarray] = {}
    for name, tokens, prompt, streaming, finalize in FLOW_CASES:
        ids, prompt_ids, mel, speaker = map(torch.from_numpy, flow_inputs(tokens, prompt))
        steps: list[np.ndarray] = []
        hook = twin.decoder.estimator.register_forward_pre_hook(
            lambda _, args, steps=steps: steps.append(args[0][:1].transpose(1, 2).clone().numpy())
        )
        y, _ = twin.inference(
            ids, torch.tensor([tokens]), prompt_ids, torch.tensor([prompt]), mel.to(dtype),
            torch.tensor([2 * prompt]), speaker.to(dtype), streaming, finalize,
        )  # fmt: skip
        hook.remove()
        taps |= {f"{name} step {i}": steps[i] for i in (1, 5)} | {f"{name} mel": y.transpose(1, 2).numpy()}
    return {name: value[:, ::3] for name, value in taps.items()}


def hift_taps(dtype: torch.dtype) -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    twin = build_causal_hift(TINY.hift)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in hift_tiny_state().items()})
    noise = np.random.default_rng(9).random((1, HIFT_FRAMES * 480, 9), dtype=np.float32)
    twin.m_source.l_sin_gen.sine_waves = torch.from_numpy(noise)
    mel = torch.from_numpy(mel_of(HIFT_FRAMES)).transpose(1, 2)
    with torch.inference_mode():
        f0 = torch_f0(twin, mel)
        source = twin.m_source(twin.f0_upsamp(f0[:, None]).transpose(1, 2))[0][..., 0]
        wide = twin.to(dtype)
        wide.stft_window = twin.stft_window.to(dtype)
        audio = wide.decode(x=mel.to(dtype), s=source[:, None].to(dtype)).numpy()
    taps = {"audio": audio[:, ::7]}
    if dtype == torch.float32:
        taps |= {"f0": f0.numpy(), "source": source.numpy()[:, ::7], "whole": twin.inference(mel)[0].numpy()[:, ::7]}
    return taps


def noise_taps() -> dict[str, np.ndarray]:
    """Build what draws before the vocoder's noise, in the order of the yaml."""
    (common,) = original("cosyvoice.utils.common")
    common.set_all_random_seed(0)
    torch.randn([1, 80, 15000])
    torch.nn.Embedding(6561, 80)
    torch.nn.Linear(192, 80)
    waves = build_causal_hift(CausalHiftConfig(base_channels=64)).m_source.l_sin_gen.sine_waves
    return {f"noise {start}": waves[:, start:end].numpy() for start, end in NOISE_PLACES}


def draws(seed: int, most: int = 150) -> Callable[[], float]:
    """Random numbers, of which there is an end: the original's streams have no other."""
    rng, count = np.random.default_rng(seed), iter(range(most))

    def draw() -> float:
        if next(count, None) is None:
            raise TimeoutError
        return rng.random()

    return draw


def lm_vectors() -> dict[str, Any]:
    model = build_lm(LM_TINY, COSYVOICE3)
    put_seeded_weights(model)
    vectors: dict[str, Any] = {}
    for number, case in enumerate(LM_CASES):
        prompt = case["text"], case["prompt_text"], case["prompt_speech"]
        vectors[f"whole {number}"] = lm_tokens(model, *prompt, np.random.default_rng(case["seed"]).random, MAX_RATIO)
        try:
            vectors[f"stream {number}"] = lm_tokens_of_stream(model, *prompt, draws(case["seed"]))
        except ValueError:
            vectors[f"stream {number}"] = [-1]
        except TimeoutError:
            pass
    case = LM_CASES[0]
    for name, dtype in (("", torch.float32), (" wide", torch.float64)):
        taps = lm_taps(model.to(dtype), [*case["prompt_text"], *case["text"]], case["prompt_speech"])
        vectors |= {f"{key}{name}": value for key, value in taps.items()}
    return vectors


if __name__ == "__main__":
    arrays = {**hift_taps(torch.float32), **flow_taps(torch.float32), **noise_taps(), **lm_vectors()}
    for make in (hift_taps, flow_taps):
        arrays |= {f"{name} wide": value for name, value in make(torch.float64).items()}
    np.savez_compressed(Path(__file__).with_name("cosyvoice3.npz"), **arrays)
