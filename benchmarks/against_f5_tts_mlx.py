"""F5-TTS v1 beside f5-tts-mlx on the same weights and noise: time, and where its numbers are not the original's.

pip install --no-deps f5-tts-mlx==0.2.6 vocos-mlx==0.0.7 einops einx frozendict jieba f5-tts==1.1.22
python benchmarks/random_f5_release.py FOLDER
python benchmarks/against_f5_tts_mlx.py FOLDER/F5TTS_v1_Base [mel] [sampler] [vocoder] [text]

Ours equal the original within rounding (docs/benchmarks.md), so what differs from ours differs from the original. It
is run with this project's kernels under MLX's names, and once, for a second of audio, as it comes.
"""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np

from pytorch_to_mlx.audio.mel import vocos_log_mel
from pytorch_to_mlx.audio.torch_random import TorchRandom
from pytorch_to_mlx.backend.patch import patched_mlx
from pytorch_to_mlx.models.f5tts.pipeline import load
from pytorch_to_mlx.models.f5tts.plan import chunk_text
from pytorch_to_mlx.models.f5tts.reference import inputs, recording

STEPS = 4
TEXT = "Dr. Smith paid 3.14 dollars, and left: nobody saw him again"


def peer(folder: Path):
    """Load f5-tts-mlx by its own loader, which looks for files of these names on the hub."""
    from f5_tts_mlx import cfm  # pyright: ignore[reportMissingImports]

    named = folder / "mlx"
    named.mkdir(exist_ok=True)
    files = {"model_v1.safetensors": next(folder.glob("*.safetensors")), "vocab.txt": folder / "vocab.txt"}
    for name, file in files.items():
        (named / name).unlink(missing_ok=True)
        (named / name).symlink_to(file.resolve())
    cfm.fetch_from_hub = lambda *_, **__: named
    from_pretrained = cfm.Vocos.from_pretrained
    cfm.Vocos.from_pretrained = lambda _: from_pretrained(str(folder / "vocos"))
    return cfm.F5TTS.from_pretrained("local")


def say(what: str, theirs, ours) -> None:
    theirs, ours = np.array(theirs, np.float64), np.array(ours, np.float64)
    n = min(len(theirs), len(ours))
    error = np.abs(theirs[:n] - ours[:n]).max() / np.abs(ours).max()
    sys.stdout.write(f"{what}: shapes {theirs.shape} and {ours.shape}, largest difference {error:.1e} of the largest\n")


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = perf_counter()
    result = call()
    return perf_counter() - began, result


def compare_mels(pipeline, theirs) -> None:
    samples = recording()
    say("mel of the recording", theirs._mel_spec(mx.array(samples))[0], vocos_log_mel(samples))


def compare_samplers(pipeline, theirs) -> None:
    mel, ids, frames = inputs(pipeline.model.config, short=True)
    noise = TorchRandom(0).randn(frames, 100)
    drawn, vocode = mx.random.normal, theirs._vocoder
    theirs._vocoder = None

    def sample(steps: int, length: int = frames):
        mx.random.normal = lambda *_, **__: mx.array(noise[:length].T)
        cond, text = mel[None, : length // 2], mx.array([ids[:40]])
        out, _ = theirs.sample(cond, text, length, steps=steps, method="euler", seed=0)
        mx.eval(out)
        return out[0]

    try:
        took, ours = timed(
            lambda: pipeline.model.sample(mel[: frames // 2], ids[:40], frames, steps=STEPS, noise=mx.array(noise))
        )
        sys.stdout.write(f"{STEPS} intervals, {frames} frames: ours {took:.2f} s\n")
        for steps in (STEPS + 1, STEPS):
            with patched_mlx():
                took, out = timed(lambda steps=steps: sample(steps))
            say(f"steps={steps} of f5-tts-mlx: {took:.2f} s on this project's kernels; mel", out, ours)
        took, _ = timed(lambda: sample(2, 94))
        sys.stdout.write(f"f5-tts-mlx as it comes: {took:.2f} s for one interval, 94 frames\n")
    finally:
        mx.random.normal, theirs._vocoder = drawn, vocode


def compare_vocoders(pipeline, theirs) -> None:
    mel = vocos_log_mel(recording())
    took, ours = timed(lambda: pipeline.vocoder.vocode(mel))
    with patched_mlx():
        took_theirs, audio = timed(lambda: np.array(theirs._vocoder(mel[None])).reshape(-1))
    sys.stdout.write(f"Vocos: ours {took:.3f} s, vocos-mlx on the kernels {took_theirs:.3f} s\n")
    say("audio", audio, ours)
    inner, own = audio[512 + 1024 : -512 - 1024], ours[1024:-1024]
    gain = float(inner @ own / (own @ own))
    say(f"audio of vocos-mlx from sample 512 on, but for its ends and its gain of {gain:.3f}", inner / gain, own)


def compare_texts(pipeline, theirs) -> None:
    sys.modules.setdefault("sounddevice", types.ModuleType("sounddevice"))  # its player, which is not used here
    from f5_tts_mlx.generate import split_sentences  # pyright: ignore[reportMissingImports]

    sys.stdout.write(f"chunks of {TEXT!r}: f5-tts-mlx {split_sentences(TEXT)}, ours {chunk_text(TEXT, 135)}\n")


PARTS = {"mel": compare_mels, "sampler": compare_samplers, "vocoder": compare_vocoders, "text": compare_texts}


def main(folder: str, *parts: str) -> None:
    pipeline, theirs = load(Path(folder)), peer(Path(folder))
    for part in parts or PARTS:
        PARTS[part](pipeline, theirs)


if __name__ == "__main__":
    main(*sys.argv[1:])
