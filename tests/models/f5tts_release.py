"""Tiny releases of F5-TTS and E2-TTS on disk, in the layouts that the original saves."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from golden.f5_networks import weight
from mlx.utils import tree_flatten

from pytorch_to_mlx.backend.rope import rotary_frequencies
from pytorch_to_mlx.models.f5tts.config import VARIANTS, Config
from pytorch_to_mlx.models.f5tts.model import Model
from pytorch_to_mlx.models.f5tts.weights import WEIGHTS
from pytorch_to_mlx.weights import invert

VOCAB = " \n" + "".join(f"{chr(97 + i // 2)}{i % 2 or ''}\n" for i in range(39))
E2 = VARIANTS["v0"] | {"backbone": "UNetT", "text_hidden_size": 100, "num_text_layers": 0}
# The layouts of spec 1.1: file name, and what is saved of the state of the CFM.
LAYOUTS = ("released", "training", "pruned", "pruned online", "flat", "wrapped")


def original_state(config: Config) -> dict[str, torch.Tensor]:
    """The original's tensors by its names; what each holds follows from its name."""
    ours = dict(tree_flatten(Model(config).parameters()))
    state = {name: torch.from_numpy(weight(name, value.shape)) for name, value in invert(WEIGHTS, ours).items()}
    return state | {"transformer.rotary_embed.inv_freq": torch.from_numpy(rotary_frequencies(64, 1e4))}


def tiny_e2() -> Config:
    return Config.tiny(**E2)


def save(folder: Path, layout: str, config: Config, vocab: str | None = VOCAB) -> Path:
    """Write one checkpoint and its vocab.txt; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    state = original_state(config)
    if vocab is not None:
        (folder / "vocab.txt").write_text(vocab, encoding="utf-8", newline="")
    ema = {f"ema_model.{name}": value for name, value in state.items()}
    counters = {"initted": torch.tensor(True), "step": torch.tensor(1250000)}
    online: dict[str, Any] = {name: value + 1 for name, value in state.items()}
    mel = {"mel_spec.mel_stft.mel_scale.fb": torch.zeros(513, 100)}
    if layout == "released":
        path = folder / "model_1250000.safetensors"
        arrays = {name: mx.array(value.numpy()) for name, value in (ema | counters).items()}
        mx.save_safetensors(str(path), arrays)
        return path
    content = {
        "training": {
            "model_state_dict": online,
            "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
            "ema_model_state_dict": ema | counters,
            "update": 7,
        },
        "pruned": {"ema_model_state_dict": ema | counters | {f"ema_model.{name}": v for name, v in mel.items()}},
        "pruned online": {"ema_model_state_dict": state},
        "flat": state | mel,
        "wrapped": {f"module.{name}": value for name, value in state.items()},
    }[layout]
    torch.save(content, folder / "model_last.pt")
    return folder / "model_last.pt"


def expected_weights(config: Config) -> dict[str, np.ndarray]:
    """Our weights of the state, by the rules."""
    from pytorch_to_mlx.weights import apply

    state = {name: mx.array(value.numpy()) for name, value in original_state(config).items()}
    return {name: np.array(value) for name, value in apply(WEIGHTS, state).weights.items()}
