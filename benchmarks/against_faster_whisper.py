"""Whisper base beside faster-whisper (CTranslate2) on the same weights: encoder, greedy, beam 5; medians of 5 runs.

pip install --no-deps faster-whisper==1.2.1 ctranslate2==4.8.5
pytorch-to-mlx whisper convert --hf-path packaged:whisper-base --mlx-path whisper-base-8bit -q
python benchmarks/against_faster_whisper.py RECORDING whisper-base-8bit
"""

import sys
import types
from statistics import median
from time import perf_counter

import mlx.core as mx
import numpy as np

from pytorch_to_mlx.audio.load import load_audio
from pytorch_to_mlx.audio.mel import whisper_log_mel
from pytorch_to_mlx.checkpoint import locate
from pytorch_to_mlx.model_source import load

sys.modules.setdefault("av", types.ModuleType("av"))  # its reader of files, which is not used here
from faster_whisper import WhisperModel  # noqa: E402  # pyright: ignore[reportMissingImports]

SOURCE, RUNS, THREADS = "packaged:whisper-base", 5, 2


def main(recording: str, converted: str) -> None:
    samples = load_audio(recording, 16000)
    mel = whisper_log_mel(mx.array(samples), 80, padding=480000)[None, :3000]
    features = np.ascontiguousarray(np.array(mel)[0].T)
    given = {"language": "en", "temperature": 0.0}
    sides = {}
    for name, path in (("ours", SOURCE), ("ours, 8 bits", converted)):
        pipeline = load(path)
        sides[name] = (
            lambda p=pipeline: mx.eval(p.model.encoder(mel.astype(p.model.encoder.conv1.weight.dtype))),
            lambda p=pipeline: p.transcribe(samples, **given).text,
            lambda p=pipeline: p.transcribe(samples, beam_size=5, **given).text,
        )
    for kind in ("float32", "int8"):
        model = WhisperModel(str(locate(SOURCE).path), device="cpu", cpu_threads=THREADS, compute_type=kind)
        sides[f"faster-whisper, {kind}"] = (
            lambda m=model: np.array(m.encode(features)),
            lambda m=model: "".join(s.text for s in m.transcribe(samples, beam_size=1, **given)[0]),
            lambda m=model: "".join(s.text for s in m.transcribe(samples, beam_size=5, **given)[0]),
        )
    for number, what in enumerate(("encoder", "greedy", "beam 5")):
        times = {name: [] for name in sides}
        texts = {str(side[number]()) for side in sides.values()} if number else {""}  # also warms up
        for _ in range(RUNS):
            for name, side in sides.items():
                began = perf_counter()
                side[number]()
                times[name].append(perf_counter() - began)
        for name, taken in times.items():
            sys.stdout.write(f"{what:8} {name:24} {median(taken):.3f} s\n")
        sys.stdout.write(f"{what:8} texts: {' | '.join(sorted(texts))}\n" if number else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
