"""F5-TTS v1 beside f5-tts-mlx on the same weights and noise: time, and where its numbers are not the original's.

pip install --no-deps f5-tts-mlx==0.2.6 vocos-mlx==0.0.7 einops einx frozendict jieba f5-tts==1.1.22
python benchmarks/random_f5_release.py FOLDER
python benchmarks/against_f5_tts_mlx.py FOLDER/F5TTS_v1_Base

Ours equal the original within rounding (docs/benchmarks.md), so what differs from ours differs from the original. It
is run as it comes, and with this project's kernels under MLX's names.
"""

import sys
from pathlib import Path
from time import perf_counter

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


def timed(call) -> tuple[float, object]:
    began = perf_counter()
    result = call()
    return perf_counter() - began, result


def main(folder: str) -> None:
    pipeline, theirs = load(Path(folder)), peer(Path(folder))
    model, vocoder = pipeline.model, pipeline.vocoder
    mel, ids, frames = inputs(model.config, short=True)
    say("mel of the recording", theirs._mel_spec(mx.array(recording()[: len(recording()) // 2]))[0],
        vocos_log_mel(recording()[: len(recording()) // 2]))  # fmt: skip
    noise = TorchRandom(0).randn(frames, 100)
    drawn, vocode = mx.random.normal, theirs._vocoder
    mx.random.normal = lambda *_, **__: mx.array(noise.T)
    theirs._vocoder = None

    def sample(steps: int):
        out, _ = theirs.sample(mel[None], mx.array([ids]), frames, steps=steps, method="euler", seed=0)
        mx.eval(out)
        return out[0]

    try:
        took, ours = timed(lambda: model.sample(mel, ids, frames, steps=STEPS, noise=mx.array(noise)))
        sys.stdout.write(f"{STEPS} steps, {frames} frames: ours {took:.2f} s\n")
        with patched_mlx():
            took, out = timed(lambda: sample(STEPS + 1))
        sys.stdout.write(f"f5-tts-mlx on this project's kernels, the same {STEPS} intervals: {took:.2f} s\n")
        say(f"mel, steps={STEPS + 1} of f5-tts-mlx", out, ours)
        with patched_mlx():
            _, out = timed(lambda: sample(STEPS))
        say(f"mel, steps={STEPS} of f5-tts-mlx", out, ours)
        took, _ = timed(lambda: sample(2))
        sys.stdout.write(f"f5-tts-mlx as it comes, one interval: {took:.2f} s, {STEPS * took:.2f} s for {STEPS}\n")
    finally:
        mx.random.normal = drawn
    took, audio = timed(lambda: vocoder.vocode(ours))
    with patched_mlx():
        took_theirs, heard = timed(lambda: np.array(vocode(ours[None])).reshape(-1))
    sys.stdout.write(f"Vocos: ours {took:.3f} s, vocos-mlx on the kernels {took_theirs:.3f} s\n")
    say("audio", heard, audio)
    level = np.sqrt(np.mean(np.square(heard[512:-512]))) / np.sqrt(np.mean(np.square(audio)))
    sys.stdout.write(f"audio of vocos-mlx: {level:.3f} times as loud, {len(heard) - len(audio)} samples longer\n")
    from f5_tts_mlx.generate import split_sentences  # pyright: ignore[reportMissingImports]

    sys.stdout.write(f"text in chunks: f5-tts-mlx {split_sentences(TEXT)}, ours {chunk_text(TEXT, 135)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
