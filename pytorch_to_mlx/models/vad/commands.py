"""What Silero VAD adds to the command line: `detect`."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .card import CARD


def detect(
    audio: list[str],
    *,
    model: str | None = None,
    threshold: float = 0.5,
    neg_threshold: float | None = None,
    min_speech_duration_ms: float = 250,
    max_speech_duration_s: float | None = None,
    min_silence_duration_ms: float = 100,
    speech_pad_ms: float = 30,
    sample_rate: int | None = None,
    scores: bool = False,
) -> Any:
    """Find speech in recordings: one line for each stretch.

    Args:
        threshold: probability from which a chunk of 32 ms is speech
        neg_threshold: probability under which speech ends; by default the threshold less 0.15
        min_speech_duration_ms: leave out shorter speech
        max_speech_duration_s: cut longer speech, at its longest pause if it has one
        min_silence_duration_ms: silence that ends speech
        speech_pad_ms: time to add on both sides of speech
        sample_rate: 16000 or 8000, where the model has both
        scores: with --json also the probability of every chunk

    Example: pytorch-to-mlx vad detect speech.wav --json
    """
    from ...checkpoint import locate
    from ...progress import track
    from .pipeline import load

    pipeline = load(locate(model, (CARD,)).path)

    def rows() -> Iterator[dict[str, Any]]:
        for name in track(audio, "listening", len(audio)):
            activity = pipeline.detect(
                sys.stdin.buffer.read() if name == "-" else name,
                sample_rate=sample_rate,
                threshold=threshold,
                neg_threshold=neg_threshold,
                min_speech_duration_ms=min_speech_duration_ms,
                max_speech_duration_s=max_speech_duration_s,
                min_silence_duration_ms=min_silence_duration_ms,
                speech_pad_ms=speech_pad_ms,
            )
            row: dict[str, Any] = {"audio": name, "duration_s": round(activity.duration_s, 3)}
            row["segments"] = [{k: round(v, 3) for k, v in asdict(span).items()} for span in activity.segments]
            if scores:
                row["probabilities"] = [round(p, 4) for p in activity.probabilities.tolist()]
            yield row

    return list(rows())
