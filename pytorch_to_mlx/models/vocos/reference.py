"""Compare with the original: the package vocos 0.1.0, with its own reading of its own weights.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.examples import speech
from ...audio.mel import vocos_log_mel
from ...audio.resample import resample
from ...contract import Case, Side, Workload
from ...contract import Reference as Contract
from ...taps import record_taps
from .config import Config
from .model import Model
from .pipeline import FLOOR, load
from .reference_imports import has_torchaudio, original
from .weights import open_release

Taps = dict[str, np.ndarray]
_N_SAMPLES = 5 * 24000


class Reference(Contract):
    """Both sides of Vocos. The cases are speech and a chirp; both sides decode the same mel."""

    def __init__(self, ours: Model, source_path: Path) -> None:
        self.model = ours
        self.original = build_original(source_path)
        self.wide = build_original(source_path).double()
        self.weights_from = f"{source_path.name}, put into the package vocos by its own names"

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load(mlx_path or source_path).model, source_path)

    @classmethod
    def alone(cls, side: Side, source_path: Path, mlx_path: Path | None = None) -> Callable[[], Any]:
        mel = mel_of(recording())
        if side == "ours":
            model = load(mlx_path or source_path).model
            return lambda: mx.eval(model(mel[None]))
        return torch_workload(build_original(source_path), mel)

    def cases(self) -> list[Case]:
        time = np.arange(_N_SAMPLES // 2) / 24000
        chirp = (0.3 * np.sin(2 * np.pi * (100 + 1500 * time) * time)).astype(np.float32)
        return [Case("speech", {"samples": recording()}), Case("chirp", {"samples": chirp})]

    def mlx(self, case: Case) -> Taps:
        mel = mel_of(case.inputs["samples"])
        with record_taps() as taps:
            mx.eval(self.model(mel[None]))
        mels = {"log_mel": np.array(mel)} if has_torchaudio() else {}
        return mels | {name: np.array(value)[0] for name, value in taps.items()}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        import torch

        model = self.original if dtype == "float32" else self.wide
        mel = torch.from_numpy(np.array(mel_of(case.inputs["samples"]))).to(getattr(torch, dtype)).T[None]
        with torch.no_grad():
            hidden = model.backbone(mel)
            taps = {"features": model.head.out(hidden)[0].numpy(), "audio": model.head(hidden)[0].numpy()}
            if has_torchaudio():
                samples = torch.from_numpy(case.inputs["samples"]).to(getattr(torch, dtype))
                taps["log_mel"] = model.feature_extractor(samples[None])[0].T.numpy()
        return taps

    def not_compared(self) -> dict[str, str]:
        return {} if has_torchaudio() else {"log_mel": "the original computes it by torchaudio, which is not installed"}

    def workloads(self) -> dict[str, Workload]:
        mel = mel_of(recording())
        ours = lambda: mx.eval(self.model(mel[None]))  # noqa: E731
        return {"vocode": Workload(ours, torch_workload(self.original, mel), audio_s=_N_SAMPLES / 24000)}


def recording() -> np.ndarray:
    """Return 5 s of speech. Shapes: -> [L] float32 at 24 kHz."""
    samples = resample(speech(), 16000, 24000)
    return np.tile(samples, _N_SAMPLES // len(samples) + 1)[:_N_SAMPLES]


def mel_of(samples: np.ndarray) -> mx.array:
    """Return the mel of samples. Shapes: [L] -> [T, 100]."""
    return vocos_log_mel(samples, floor=FLOOR)


def build_vocos(config: Config) -> Any:
    """Build the original of these sizes, with the weights that it begins with.

    Raises: MachineError if the package vocos is not there.
    """
    vocos, extractors, models, heads = original(
        "vocos", "vocos.pretrained", "vocos.feature_extractors", "vocos.models", "vocos.heads"
    )
    mel = (config.sample_rate, config.n_fft, config.hop_length, config.n_mels, config.padding)
    extractor = extractors.MelSpectrogramFeatures(*mel) if has_torchaudio() else extractors.FeatureExtractor()
    backbone = models.VocosBackbone(config.n_mels, config.hidden_size, config.intermediate_size, config.num_layers)
    head = heads.ISTFTHead(config.hidden_size, config.n_fft, config.hop_length, config.padding)
    return vocos.Vocos(extractor, backbone, head).eval()


def build_original(source_path: Path) -> Any:
    """Build the original with the tensors of a checkpoint."""
    import torch

    with open_release(source_path) as checkpoint:
        model = build_vocos(Config.from_dict(checkpoint.config or {}))
        state = {name: torch.from_numpy(np.array(checkpoint[name].astype(mx.float32))) for name in checkpoint.names()}
    known = model.state_dict()
    buffers = {name: value for name, value in known.items() if name.endswith((".window", ".fb"))}
    model.load_state_dict({**buffers, **{name: value for name, value in state.items() if name in known}})
    return model


def torch_workload(model: Any, mel: mx.array) -> Callable[[], Any]:
    """Return what decodes a mel in PyTorch. Shapes: mel [T, n_mels]."""
    import torch

    features = torch.from_numpy(np.array(mel)).T[None]

    def run() -> Any:
        with torch.no_grad():
            return model.head(model.backbone(features))

    return run
