"""Tiny twins of version 1's flow and vocoder, the original's classes with seeded random weights, and their inputs."""

import mlx.core as mx
import numpy as np
import torch
from models.cosyvoice.release import random_state

from pytorch_to_mlx.models.cosyvoice.config import Config1
from pytorch_to_mlx.models.cosyvoice.flow.regulated import RegulatedFlow
from pytorch_to_mlx.models.cosyvoice.flow.regulated_weights import REGULATED_FLOW
from pytorch_to_mlx.models.cosyvoice.original.audio import build_hift
from pytorch_to_mlx.models.cosyvoice.original.version1 import build_regulated_flow
from pytorch_to_mlx.models.cosyvoice.vocoder.sampled_hift import SampledHift
from pytorch_to_mlx.models.cosyvoice.vocoder.weights import HIFT
from pytorch_to_mlx.weights import WeightMap, apply, load_into


def state_of(model, seed):
    shapes = ((name, tuple(value.shape)) for name, value in model.state_dict().items())
    return random_state(shapes, np.random.default_rng(seed))


def seeded(model, seed=0):
    """The model with seeded weights of a size that suits their place."""
    state = state_of(model, seed)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return model.eval()


def through_rules(model, rules, twin):
    state = {name: mx.array(value.numpy()) for name, value in twin.state_dict().items()}
    return load_into(model, apply(WeightMap(*rules), state).weights)


def flow_inputs(tokens, prompt, seed=0, frames=None, rate=50):
    rng = np.random.default_rng(seed)
    frames = int(prompt / rate * 22050 / 256) if frames is None else frames
    return {
        "tokens": rng.integers(0, 4096, (1, tokens)),
        "prompt_tokens": rng.integers(0, 4096, (1, prompt)),
        "prompt_mel": rng.standard_normal((1, frames, 80)).astype(np.float32),
        "speaker": rng.standard_normal((1, 192)).astype(np.float32),
    }


def noise_of(frames, seed=7):
    return np.random.default_rng(seed).standard_normal((1, frames, 80)).astype(np.float32)


def mel_of(frames, seed=0):
    steps = np.random.default_rng(seed).standard_normal((1, frames, 80)) * 0.7
    return (np.cumsum(steps, axis=1) - 3).astype(np.float32)


def flow_twins(config):
    """Ours, and the original in float32 and in float64."""
    narrow, wide = seeded(build_regulated_flow(config)), seeded(build_regulated_flow(config)).double()
    return through_rules(RegulatedFlow(config), REGULATED_FLOW, narrow), narrow, wide


def vocoder_twins():
    """The same of the vocoder, whose speech is voiced and unvoiced."""
    config = Config1.tiny().hift
    twins = []
    for dtype in (torch.float32, torch.float64):
        twin = build_hift(config)
        state = state_of(twin, 3)
        state["f0_predictor.classifier.weight"] *= 4
        state["f0_predictor.classifier.bias"] += 130.0
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        twin.stft_window = twin.stft_window.to(dtype)
        twins.append(twin.to(dtype))
    return through_rules(SampledHift(config), HIFT, twins[0]), *twins
