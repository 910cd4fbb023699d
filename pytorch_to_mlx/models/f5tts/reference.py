"""Compare with the original: the package f5-tts 1.1.22, its networks and its sampler, on its own reading of the file.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.examples import speech
from ...audio.mel import vocos_log_mel
from ...audio.resample import resample
from ...audio.torch_random import TorchRandom
from ...checkpoint import open_checkpoint
from ...contract import Case, Side, Workload
from ...contract import Reference as Contract
from ...taps import record_taps
from ...weights import is_converted
from ..vocos.reference_imports import has_torchaudio, original
from .config import HEAD_DIM, HOP_LENGTH, SAMPLE_RATE, Config
from .model import Model
from .release import find_folder, load_networks, open_release, plain_names
from .schedule import is_guided

Taps = dict[str, np.ndarray]
_REFERENCE_S, _NEW_S, _N_TOKENS = 5.0, 5.0, 150


class Reference(Contract):
    """Both sides of F5-TTS. The cases are ways to sample, from the same noise; the taps are those of every step."""

    def __init__(self, ours: Model, source_path: Path) -> None:
        self.model = ours
        self.source_path, self.original = source_path, build_original(source_path, ours.config)
        self._wide: Any = None
        self.weights_from = f"{source_path.name}, put into the package f5-tts by its own names"

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load_networks(mlx_path or source_path)[0], source_path)

    @classmethod
    def alone(cls, side: Side, source_path: Path, mlx_path: Path | None = None) -> Callable[[], Any]:
        if side == "ours":
            model = load_networks(mlx_path or source_path)[0]
            return our_workload(model, 4)
        config = config_of(mlx_path or source_path)
        return torch_workload(build_original(source_path, config), 4)

    def cases(self) -> list[Case]:
        return [
            Case("4 steps", {"steps": 4}),
            Case("7 pruned steps", {"steps": 7}),
            Case("unguided, uniform", {"steps": 3, "guidance": 0.0, "sway": None}),
            Case("midpoint", {"steps": 2, "method": "midpoint"}),
        ]

    def mlx(self, case: Case) -> Taps:
        options = dict(case.inputs)
        mel, ids, frames = inputs(self.model.config, short=True)
        with record_taps() as taps:
            self.model.sample(mel, ids, frames, **options)
        arrays = {name: np.array(value) for name, value in taps.items()}
        mels = {"log_mel": np.array(mel)} if has_torchaudio() else {}
        return _comparable(arrays, case) | mels

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        import torch

        if dtype == "float64" and self._wide is None:
            self._wide = build_original(self.source_path, self.model.config).double()
        model = self.original if dtype == "float32" else self._wide
        mel, ids, frames = inputs(self.model.config, short=True)
        options: dict[str, Any] = {"guidance": 2.0, "sway": -1.0, "method": "euler", **case.inputs}
        taps = torch_sample(model, np.array(mel), ids, frames, options, getattr(torch, dtype))
        if has_torchaudio():
            taps["log_mel"] = torch_mel(model, recording()[: len(recording()) // 2], getattr(torch, dtype))
        return _comparable(taps, case)

    def not_compared(self) -> dict[str, str]:
        return {} if has_torchaudio() else {"log_mel": "the original computes it by torchaudio, which is not installed"}

    def workloads(self) -> dict[str, Workload]:
        return {
            f"sample-{steps}-steps": Workload(
                our_workload(self.model, steps),
                torch_workload(self.original, steps),
                audio_s=_NEW_S,
                warmups=int(steps < 32),
            )
            for steps in (4, 7, 8, 32)
        }


def _comparable(taps: Mapping[str, np.ndarray], case: Case) -> Taps:
    """Return the taps that the case has on both sides."""
    guided = is_guided(case.inputs.get("guidance", 2.0))
    is_euler = case.inputs.get("method", "euler") == "euler"
    return {
        name: value
        for name, value in taps.items()
        if (guided or name != "unconditional text") and (is_euler or not name.startswith("step"))
    }


def recording() -> np.ndarray:
    """Return 5 s of speech. Shapes: -> [L] float32 at 24 kHz."""
    samples = resample(speech(), 16000, SAMPLE_RATE)
    n_samples = int(_REFERENCE_S * SAMPLE_RATE)
    return np.tile(samples, n_samples // len(samples) + 1)[:n_samples]


def inputs(config: Config, *, short: bool = False) -> tuple[mx.array, list[int], int]:
    """Return a mel, tokens and the number of frames: 5 s and 5 s of new speech; `short` is half of that."""
    share = 2 if short else 1
    samples = recording()
    mel = vocos_log_mel(samples[: len(samples) // share])
    ids = np.random.default_rng(0).integers(0, config.vocab_size, _N_TOKENS // share).tolist()
    return mel, ids, int((_REFERENCE_S + _NEW_S) / share * SAMPLE_RATE) // HOP_LENGTH


def our_workload(model: Model, steps: int) -> Callable[[], Any]:
    """Return what samples 5 s of new speech with our model."""
    mel, ids, frames = inputs(model.config)
    noise = mx.array(TorchRandom(0).randn(frames, model.config.n_mels))
    return lambda: model.sample(mel, ids, frames, steps=steps, noise=noise)


def torch_workload(model: Any, steps: int) -> Callable[[], Any]:
    """Return what samples 5 s of new speech with the original."""
    import torch

    config = model.our_config
    mel, ids, frames = inputs(config)
    cond, text = torch.from_numpy(np.array(mel))[None], torch.tensor([ids])
    return lambda: model.sample(cond, text, frames, steps=steps, cfg_strength=2.0, sway_sampling_coef=-1.0, seed=0)


def torch_sample(
    model: Any, mel: np.ndarray, ids: list[int], frames: int, options: Mapping[str, Any], dtype: Any
) -> Taps:
    """Run the original's sampler from the noise that ours begins with, and return its taps."""
    import torch

    noise = torch.from_numpy(TorchRandom(0).randn(frames, mel.shape[1])).to(dtype)
    taps: Taps = {}
    drawn, network = torch.randn, model.transformer
    guided = is_guided(options["guidance"])

    def keep_text(_: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> None:
        name = "unconditional text" if kwargs.get("drop_text") else "text"
        taps[name] = out.numpy()

    def keep_velocity(_: Any, args: Any, out: Any) -> None:
        if guided:
            conditional, unconditional = out.chunk(2)
            out = conditional + (conditional - unconditional) * options["guidance"]
        taps["velocity"] = out.numpy()

    hooks = [
        network.text_embed.register_forward_hook(keep_text, with_kwargs=True),
        network.register_forward_hook(keep_velocity),
    ]
    model.odeint_kwargs = {"method": options["method"]}
    torch.randn = lambda *_, **__: noise
    try:
        out, trajectory = model.sample(
            torch.from_numpy(mel).to(dtype)[None],
            torch.tensor([ids]),
            frames,
            steps=options["steps"],
            cfg_strength=options["guidance"],
            sway_sampling_coef=options["sway"],
        )
    finally:
        torch.randn = drawn
        for hook in hooks:
            hook.remove()
    steps = {f"step {i}": y.numpy() for i, y in enumerate(trajectory) if i}
    return {**taps, **steps, "mel": out[0].numpy()}


def torch_mel(model: Any, samples: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the original's mel, by torchaudio. Shapes: samples [L] -> [T, n_mels]."""
    import torch

    (modules,) = original("f5-tts", "f5_tts.model.modules")
    audio = torch.from_numpy(samples)[None]
    model.mel_spec(audio)  # builds the transform, in float32, in the original's cache
    for transform in modules.vocos_mel_stft_cache.values():
        transform.to(dtype)
    mel = model.mel_spec(audio.to(dtype))[0].T.numpy()
    for transform in modules.vocos_mel_stft_cache.values():
        transform.to(torch.float32)
    return mel


def config_of(path: Path) -> Config:
    """Return the sizes of a converted folder or a release."""
    with (open_checkpoint if is_converted(path) else open_release)(path) as checkpoint:
        return Config.from_dict(checkpoint.config or {})


def build_network(config: Config) -> Any:
    """Build the original's CFM of these sizes, with the weights that it begins with.

    Raises: MachineError if the package f5-tts is not there.
    """
    import torch

    cfm, dit, unett = original(
        "f5-tts", "f5_tts.model.cfm", "f5_tts.model.backbones.dit", "f5_tts.model.backbones.unett"
    )
    arch: dict[str, Any] = {
        "dim": config.hidden_size,
        "depth": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "dim_head": HEAD_DIM,
        "ff_mult": config.intermediate_size // config.hidden_size,
        "mel_dim": config.n_mels,
        "text_num_embeds": config.vocab_size,
        "text_dim": config.text_hidden_size,
        "conv_layers": config.num_text_layers,
        "text_mask_padding": config.text_mask_padding,
        "qk_norm": "rms_norm" if config.qk_norm else None,
        "pe_attn_head": None if config.rotates == "all" else 1,
    }
    if config.backbone == "DiT":
        arch |= {
            "text_embedding_average_upsampling": config.text_average_upsampling,
            "long_skip_connection": config.long_skip_connection,
        }
    else:
        arch["skip_connect_type"] = config.skip_connect_type
    network = (dit.DiT if config.backbone == "DiT" else unett.UNetT)(**arch)
    mel_spec: Any = None if has_torchaudio() else torch.nn.Identity()
    if mel_spec is not None:
        mel_spec.n_mel_channels = config.n_mels
    model = cfm.CFM(network, mel_spec_module=mel_spec)
    model.our_config = config
    return model.eval().requires_grad_(False)


def build_original(source_path: Path, config: Config) -> Any:
    """Build the original with the tensors of a checkpoint; `config` says what they do not."""
    import torch

    model = build_network(config)
    with open_checkpoint(find_folder(source_path)) as checkpoint:
        plain_names(checkpoint)
        state = {name: torch.from_numpy(np.array(checkpoint[name].astype(mx.float32))) for name in checkpoint.names()}
    own = {name: value for name, value in model.state_dict().items() if name.endswith("inv_freq")}
    model.load_state_dict({**own, **state})
    return model
