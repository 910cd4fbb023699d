"""Mels to audio, and recordings through their mel."""

from pathlib import Path

import mlx.core as mx
import numpy as np

from ...audio.load import Audio, load_audio
from ...audio.mel import vocos_log_mel
from ...errors import UsageError
from ...forks import require_own_threads
from ...weights import load_model
from .config import Config
from .model import Model
from .weights import WEIGHTS, open_release

FLOOR = 1e-7  # of the mel that Vocos was trained on


def load(path: Path, *, dequantize: bool | None = None) -> "VocosPipeline":
    """Load a converted folder, or the release; no convert step is needed."""
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    return VocosPipeline(model)


class VocosPipeline:
    """A loaded Vocos."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sample_rate = model.config.sample_rate

    def vocode(self, mel: mx.array) -> np.ndarray:
        """Return the audio of a mel, `log_mel` of which it came from.

        Shapes: mel [T, n_mels] -> [L] float32, a hop for each frame, but for the first with padding "center".
        Raises: UsageError for a mel of another shape, or of one frame where that has no audio.
        """
        require_own_threads()
        config = self.model.config
        fewest = 2 if config.padding == "center" else 1
        if mel.ndim != 2 or mel.shape[1] != config.n_mels or len(mel) < fewest:
            raise UsageError(f"a mel of shape {list(mel.shape)}, expected [{fewest} or more, {config.n_mels}]")
        return np.array(self.model(mel[None])[0])

    def log_mel(self, samples: np.ndarray) -> mx.array:
        """Return the mel of samples at the model's rate. Shapes: samples [L] -> [T, n_mels].

        Raises: UsageError for too few samples to reflect at the ends.
        """
        config = self.model.config
        width = config.n_fft // 2 if config.padding == "center" else (config.n_fft - config.hop_length) // 2
        if len(samples) <= width:
            raise UsageError(f"{len(samples)} samples are too few", fix=f"give {width + 1} or more")
        mel = vocos_log_mel(
            samples,
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            width=width,
            floor=FLOOR,
        )
        return mel

    def resynthesize(self, audio: Audio) -> np.ndarray:
        """Return a recording as it sounds after it was a mel. Shapes: audio, if an array, [L] -> [about L]."""
        return self.vocode(self.log_mel(load_audio(audio, self.sample_rate)))
