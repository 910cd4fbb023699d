"""Make cosyvoice_audio.npz: what the originals' feature extractors give for one second of a made-up sound.

    python tests/golden/cosyvoice_audio.py TORCHAUDIO MATCHA

TORCHAUDIO is an unpacked torchaudio 2.9.0 wheel, MATCHA a Matcha-TTS at dd9105b. Nothing of them is imported whole:
kaldi.py needs only torch, and mel_spectrogram gets librosa's filters, which librosa must be there for.
"""

import sys
import types
import typing
from pathlib import Path

import numpy as np

RATES = ((16000, 24000), (44100, 16000), (24000, 16000))


def sound(seconds: float = 1.0, sample_rate: int = 16000) -> np.ndarray:
    """A gliding tone with overtones that fades into noise and then into silence. Shapes: -> [L] float32."""
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    tone = sum(np.sin(2 * np.pi * k * (120 * t + 40 * t * t)) / k for k in range(1, 12))
    noise = np.random.default_rng(0).standard_normal(len(t))
    level = np.clip(1.2 - t / seconds * 1.3, 0, 1)
    return (level * (0.2 * tone + 0.01 * noise)).astype(np.float32)


def torch_resample(audio: np.ndarray, source: int, target: int) -> np.ndarray:
    """torchaudio's Resample: the two functions that it consists of, cut out of functional.py."""
    import math

    import torch

    text = (Path(sys.argv[1]) / "torchaudio/functional/functional.py").read_text()
    names: dict = {"math": math, "torch": torch, "Optional": typing.Optional, "Tensor": torch.Tensor}
    names |= {"Tuple": tuple, "_CPU": torch.device("cpu")}
    for function in ("_get_sinc_resample_kernel", "_apply_sinc_resample_kernel"):
        start = text.index(f"def {function}")
        exec(text[start : text.index("\ndef ", start)], names)
    common = math.gcd(source, target)
    filters, width = names["_get_sinc_resample_kernel"](source, target, common)
    samples = torch.from_numpy(audio)[None]
    return names["_apply_sinc_resample_kernel"](samples, source, target, common, filters, width)[0].numpy()


def main() -> None:
    import torch

    torch.set_num_threads(1)
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    kaldi: dict = {"__name__": "kaldi"}
    exec((Path(sys.argv[1]) / "torchaudio/compliance/kaldi.py").read_text(), kaldi)
    sys.path.insert(0, sys.argv[2])
    package = types.ModuleType("matcha.utils")
    package.__path__ = [sys.argv[2] + "/matcha/utils"]
    sys.modules["matcha.utils"] = package
    from matcha.utils.audio import mel_spectrogram

    x = torch.from_numpy(sound())[None]
    fbank = kaldi["fbank"](x, num_mel_bins=80, dither=0, sample_frequency=16000)
    mel = mel_spectrogram(torch.from_numpy(sound(0.5, 24000))[None], 1920, 80, 24000, 480, 1920, 0, 8000, False)
    resampled = {f"{a} to {b}": torch_resample(sound(0.1, a), a, b) for a, b in RATES}
    out = Path(__file__).with_suffix(".npz")
    np.savez_compressed(out, fbank=fbank.numpy(), mel=mel[0].T.numpy(), **resampled)


if __name__ == "__main__":
    main()
