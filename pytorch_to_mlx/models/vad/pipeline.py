"""Audio in, stretches of speech out: whole recordings, and streams."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from ...audio.load import Audio, load_audio
from ...errors import UsageError
from ...tasks import Span, VoiceActivity
from ...weights import load_model
from .config import CHUNK_S, Config
from .model import Model
from .segments import Boundaries, VADOptions, speech_segments
from .weights import WEIGHTS, open_release


class VADPipeline:
    """A loaded Silero VAD: `detect` for a whole recording, `stream` for audio as it comes."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def detect(self, audio: Audio, *, sample_rate: int | None = None, **options: Any) -> VoiceActivity:
        """Where there is speech; options are those of VADOptions.

        sample_rate: 16000 or 8000, of an array's samples and of the network; by default the model's first.
        Shapes: audio, if an array, [L] float. Raises: UsageError, FormatError for audio that cannot be read.
        """
        rate, rules = self._rate(sample_rate), vad_options(**options)
        samples = load_audio(audio, rate)
        probabilities = self.probabilities(samples, sample_rate=rate)
        chunk = self.model.network(rate).chunk
        spans = speech_segments(probabilities.tolist(), len(samples), rate, chunk, rules)
        return VoiceActivity(
            tuple(Span(start / rate, end / rate) for start, end in spans), len(samples) / rate, probabilities, CHUNK_S
        )

    def probabilities(self, samples: np.ndarray, *, sample_rate: int | None = None) -> np.ndarray:
        """The probability of speech in each chunk; the last one is filled up with silence. Shapes: [L] -> [N]."""
        rate = self._rate(sample_rate)
        if not len(samples):
            return np.zeros(0, np.float32)
        missing = -len(samples) % self.model.network(rate).chunk
        audio = mx.pad(mx.array(np.asarray(samples, np.float32)), (0, missing))
        return np.array(self.model(audio[None], rate)[0].astype(mx.float32))

    def stream(self, *, sample_rate: int | None = None, **options: Any) -> "VADStream":
        """A stream that is fed pieces of audio and says where speech starts and ends."""
        return VADStream(self.model, self._rate(sample_rate), vad_options(**options))

    def _rate(self, asked: int | None) -> int:
        rate = asked or self.model._config.sample_rates[0]
        self.model.network(rate)
        return rate


@dataclass(frozen=True)
class Boundary:
    """Where speech starts or ends, in seconds of the stream, and the probability of the chunk that settled it."""

    kind: Literal["start", "end"]
    time_s: float
    probability: float


class VADStream:
    """Takes audio in pieces of any length; decides for every chunk of 32 ms. Memory does not grow.

    position_s: how much has been judged. probability: of the last chunk. speaking: whether speech is going on.
    """

    def __init__(self, model: Model, sample_rate: int, options: VADOptions) -> None:
        self._model, self._rate = model, sample_rate
        self._network = model.network(sample_rate)
        self._state = self._network.start()
        self._rules = Boundaries(sample_rate, options)
        self._waiting = np.zeros(0, np.float32)
        self._judged = 0
        self.probability = 0.0

    @property
    def position_s(self) -> float:
        return self._judged / self._rate

    @property
    def speaking(self) -> bool:
        return self._rules.speaking

    def feed(self, samples: np.ndarray) -> list[Boundary]:
        """Hear more audio; the boundaries that it settles. Shapes: samples [L] float at the stream's rate."""
        samples = np.concatenate([self._waiting, load_audio(np.asarray(samples), self._rate)])
        whole = len(samples) // self._network.chunk * self._network.chunk
        self._waiting = samples[whole:].copy()
        found = []
        for now, probability in self._judge(samples[:whole]):
            self.probability = probability
            boundary = self._rules.hear(now, probability)
            if boundary is not None:
                found.append(Boundary(boundary[0], boundary[1] / self._rate, probability))  # pyright: ignore[reportArgumentType]
        return found

    def finish(self) -> list[Boundary]:
        """The end of the stream: what is left is filled up with silence, and speech that goes on ends here."""
        end_s = (self._judged + len(self._waiting)) / self._rate
        missing = -len(self._waiting) % self._network.chunk
        found = self.feed(np.zeros(missing, np.float32)) if missing else []
        if self.speaking:
            self._rules.speaking = False
            found.append(Boundary("end", end_s, self.probability))
        return found

    def _judge(self, samples: np.ndarray) -> Iterator[tuple[int, float]]:
        """(start in samples, probability) of every chunk, at most a second of them in one graph."""
        step = 32 * self._network.chunk
        for start in range(0, len(samples), step):
            piece = mx.array(samples[start : start + step])[None]
            probabilities, self._state = self._model.step(piece, self._state, self._rate)
            mx.eval(probabilities, self._state)
            for probability in np.array(probabilities.astype(mx.float32))[0].tolist():
                yield self._judged, probability
                self._judged += self._network.chunk


def vad_options(**options: Any) -> VADOptions:
    """The options that are given, checked."""
    known = {field.name for field in fields(VADOptions)}
    if unknown := options.keys() - known:
        raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {', '.join(sorted(known))}")
    return VADOptions(**{name: value for name, value in options.items() if value is not None})


def load(path: Path, *, dequantize: bool | None = None) -> VADPipeline:
    """Load a converted folder, or a release of Silero VAD."""
    build = lambda config: Model(Config.from_dict(config))  # noqa: E731
    model, _ = load_model(path, build, weight_map=WEIGHTS, open_release=open_release, dequantize=dequantize)
    return VADPipeline(model)
