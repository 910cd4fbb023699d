"""Stand-ins for F5-TTS's networks: they remember what they were asked for, and answer at once."""

from typing import Any

import mlx.core as mx
import numpy as np

from pytorch_to_mlx.audio.silence import Pcm
from pytorch_to_mlx.models.f5tts.pipeline import F5Pipeline
from pytorch_to_mlx.models.f5tts.vocab import Tokenizer
from pytorch_to_mlx.tasks import Word
from pytorch_to_mlx.text.pinyin import pinyin_tokens

TRANSCRIPT = "Some call me nature, others call me mother nature."


class FakeModel:
    """A mel of zeros, as long as the real one."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def sample(self, cond: mx.array, ids: list[int], frames: int, **options: Any) -> mx.array:
        self.calls.append({"cond": cond, "ids": ids, "frames": frames, **options})
        n_frames = max(frames, max(len(ids), len(cond)) + 1)
        keep = np.array([*options.get("keep", [True] * len(cond)), *[False] * (n_frames - len(cond))])
        padded = mx.concatenate([cond, mx.zeros((n_frames - len(cond), 100))])
        return mx.where(mx.array(keep)[:, None], padded, -1.0)


class FakeVocoder:
    """Ones at half of full scale."""

    def vocode(self, mel: mx.array) -> np.ndarray:
        return np.full(256 * (len(mel) - 1), 0.5, np.float32)


class TokenIds(Tokenizer):
    """The tokens themselves in place of ids."""

    def encode(self, text: str, *, forced: bool = True) -> Any:
        return pinyin_tokens(text, forced=forced)


def pipeline() -> tuple[F5Pipeline, FakeModel]:
    """A pipeline with fakes, whose vocabulary is ASCII's."""
    model: Any = FakeModel()
    return F5Pipeline(model, FakeVocoder(), TokenIds({chr(i): i for i in range(32, 127)})), model


def noise(seconds: float, rate: int = 24000, level: float = 0.3, seed: int = 0) -> np.ndarray:
    """Shapes: -> float32 [L]."""
    return (level * np.random.default_rng(seed).uniform(-1, 1, round(seconds * rate))).astype(np.float32)


def words(text: str, *, step_s: float = 0.4) -> list[Word]:
    """The words of a text, each `step_s` long."""
    return [Word(f" {w}", i * step_s, (i + 1) * step_s) for i, w in enumerate(text.split())]


def hearing(text: str, step_s: float = 0.4) -> Any:
    """A listener who hears this text, and remembers to what it listened."""
    recordings: list[Pcm] = []

    def listen(pcm: Pcm) -> list[Word]:
        recordings.append(pcm)
        return words(text, step_s=step_s)

    listen.recordings = recordings  # type: ignore[attr-defined]
    return listen
