"""The architecture numbers of openWakeWord: the widths of the embedding network, and the classifiers after it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...config import from_dict, number

SAMPLE_RATE = 16_000
N_FFT = 512
HOP_LENGTH = 160
N_MELS = 32
FRAME = 1280
"""Samples of one frame, 80 ms: the embedding network advances by the eight mel rows of it."""
OVERLAP = 480
"""Samples before a frame that its mel spectrogram needs: the window of its first row starts there."""
WINDOW = 76
"""Rows of the mel spectrogram that one embedding is computed from."""
FRAME_ROWS = FRAME // HOP_LENGTH
"""Rows of the mel spectrogram in one frame."""
START_FEATURES = 41
"""Embeddings that a stream starts with: those of four seconds of noise."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
EXPECTED = {"sample_rate": SAMPLE_RATE, "n_fft": N_FFT, "hop_length": HOP_LENGTH, "n_mels": N_MELS}


@dataclass(frozen=True)
class Keyword:
    """One classifier over the last `num_frames` embeddings.

    kind: "dnn", linear layers of `hidden_sizes`; "rnn", bidirectional LSTMs of `hidden_sizes`, read at the last frame.
    labels: one for a keyword; for several classes their names, "" for the class without a word.
    verifier_sizes: the hidden sizes of a second network, whose score replaces a score of 0.5 or more.
    """

    name: str
    kind: Literal["dnn", "rnn"] = "dnn"
    num_frames: int = number(16, low=1, high=START_FEATURES + 1)
    hidden_sizes: tuple[int, ...] = (128, 128)
    layer_norm: bool = False
    labels: tuple[str, ...] = ("keyword",)
    verifier_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; a keyword's name is a letter, then letters, digits, _ and -")
        if not self.hidden_sizes or not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"{self.name} has no layers, no labels, or one label twice")
        if self.kind == "rnn" and (self.layer_norm or self.verifier_sizes):
            raise ValueError(f"{self.name}: an rnn has no layer norm and no verifier")


@dataclass(frozen=True)
class Config:
    """The sizes of openWakeWord.

    channels: the width of each of the five stages of the embedding network; the last one is the embedding's.
    """

    keywords: tuple[Keyword, ...]
    channels: tuple[int, ...] = (24, 48, 72, 96, 96)

    def __post_init__(self) -> None:
        if len(self.channels) != 5:
            raise ValueError(f"channels holds {len(self.channels)} numbers, not 5")
        labels = [label for keyword in self.keywords for label in keyword.labels if label]
        names = [keyword.name for keyword in self.keywords]
        for kind, values in (("keywords", names), ("labels", labels)):
            if repeated := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"two {kind} are called {', '.join(repeated)}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem."""
        return from_dict(cls, data, expected=EXPECTED)

    @classmethod
    def tiny(cls) -> "Config":
        """Return small sizes with one classifier of every kind, for tests."""
        return cls(
            (
                Keyword("plain", num_frames=3, hidden_sizes=(32, 32), labels=("plain",)),
                Keyword("normed", num_frames=4, hidden_sizes=(32,), layer_norm=True, labels=("normed",)),
                Keyword("checked", hidden_sizes=(32, 32), layer_norm=True, labels=("checked",), verifier_sizes=(32,)),
                Keyword("several", num_frames=5, hidden_sizes=(32,), labels=("", "one", "two")),
                Keyword("recurrent", "rnn", num_frames=4, hidden_sizes=(8, 8), labels=("recurrent",)),
            ),
            channels=(4, 8, 8, 8, 32),
        )
