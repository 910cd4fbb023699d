"""Audio in, stretches of speech out: whole recordings, and streams."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from ...audio.load import Audio, load_audio
from ...backend.replay import replay
from ...errors import UsageError
from ...forks import require_own_threads
from ...tasks import Span, VoiceActivity
from ...weights import load_model
from .config import CHUNK_S, Config
from .model import HIDDEN, Model
from .segments import Boundaries, VADOptions, speech_segments
from .weights import WEIGHTS, open_release


class VADPipeline:
    """A loaded Silero VAD: `detect` for a whole recording, `stream` for audio as it arrives."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def detect(self, audio: Audio, *, sample_rate: int | None = None, **options: Any) -> VoiceActivity:
        """Find the stretches of speech in a recording; options are those of VADOptions.

        sample_rate: 16000 or 8000, of an array's samples and of the network; by default the model's first.
        Shapes: audio, if an array, [L] float.
        Raises: UsageError for an unknown option or value, FormatError for audio that cannot be read.
        """
        require_own_threads()
        rate, settings = self._rate(sample_rate), vad_options(**options)
        samples = load_audio(audio, rate)
        probabilities = self.probabilities(samples, sample_rate=rate)
        chunk = self.model.network(rate).chunk
        spans = speech_segments(probabilities.tolist(), len(samples), rate, chunk, settings)
        return VoiceActivity(
            tuple(Span(start / rate, end / rate) for start, end in spans), len(samples) / rate, probabilities, CHUNK_S
        )

    def probabilities(self, samples: np.ndarray, *, sample_rate: int | None = None) -> np.ndarray:
        """Return the probability of speech in each chunk; the last one is padded with silence.

        Shapes: samples [L] -> [N]. Raises: UsageError for a rate without a network.
        """
        require_own_threads()
        rate = self._rate(sample_rate)
        if not len(samples):
            return np.zeros(0, np.float32)
        padding = -len(samples) % self.model.network(rate).chunk
        audio = np.pad(np.asarray(samples, np.float32), (0, padding))
        return np.array(self.model(audio[None], rate)[0].astype(mx.float32))

    def stream(self, *, sample_rate: int | None = None, **options: Any) -> "VADStream":
        """Return a stream to feed with pieces of audio; it reports where speech starts and ends.

        Options are those of VADOptions. Raises: UsageError for an unknown option or value.
        """
        require_own_threads()
        return VADStream(self.model, self._rate(sample_rate), vad_options(**options))

    def _rate(self, sample_rate: int | None) -> int:
        """Return the rate, or the model's first, if there is a network for it."""
        rate = sample_rate or self.model.config.sample_rates[0]
        self.model.network(rate)
        return rate


@dataclass(frozen=True)
class Boundary:
    """Where speech starts or ends, in seconds of the stream, and the probability of the chunk that decided it."""

    kind: Literal["start", "end"]
    time_s: float
    probability: float


class VADStream:
    """A stream to feed with pieces of audio of any length; decides for every chunk of 32 ms. Memory does not grow.

    probability: of speech in the last chunk.
    """

    def __init__(self, model: Model, sample_rate: int, options: VADOptions) -> None:
        self._rate = sample_rate
        self._network = model.network(sample_rate)
        self._step = replay(self._network.step)
        self._context = np.zeros((1, self._network.context), np.float32)  # the last samples
        self._state = mx.zeros((1, HIDDEN)), mx.zeros((1, HIDDEN))
        self._boundaries = Boundaries(sample_rate, options)
        self._rest = np.zeros(0, np.float32)  # less than a chunk
        self._position = 0
        self.probability = 0.0

    @property
    def position_s(self) -> float:
        """Return the seconds that are classified so far."""
        return self._position / self._rate

    @property
    def speaking(self) -> bool:
        """Return whether speech has started and not ended."""
        return self._boundaries.speaking

    def feed(self, samples: np.ndarray) -> list[Boundary]:
        """Add audio; return the starts and ends of speech that it decides.

        Shapes: samples [L] float at the stream's rate. Raises: FormatError if they are not finite or of another shape.
        """
        require_own_threads()
        samples = np.concatenate([self._rest, load_audio(np.asarray(samples), self._rate)])
        n_whole = len(samples) // self._network.chunk * self._network.chunk
        self._rest = samples[n_whole:].copy()
        boundaries = []
        for now, probability in self._classify(samples[:n_whole]):
            self.probability = probability
            if (boundary := self._boundaries.update(now, probability)) is not None:
                kind, position = boundary
                boundaries.append(Boundary(kind, position / self._rate, probability))
        return boundaries

    def finish(self) -> list[Boundary]:
        """End the stream: pad the last chunk with silence, and end speech that has not ended."""
        end_s = (self._position + len(self._rest)) / self._rate
        padding = -len(self._rest) % self._network.chunk
        boundaries = self.feed(np.zeros(padding, np.float32)) if padding else []
        if self.speaking:
            self._boundaries.speaking = False
            boundaries.append(Boundary("end", end_s, self.probability))
        return boundaries

    def _classify(self, samples: np.ndarray) -> Iterator[tuple[int, float]]:
        """Yield start in samples and probability of every chunk, computed in graphs of at most a second."""
        step = 32 * self._network.chunk
        for start in range(0, len(samples), step):
            piece = samples[None, start : start + step]
            frames = self._network.frames(piece, self._context)
            self._context = piece[:, -self._network.context :].copy()
            probabilities, self._state = self._step(mx.array(frames[0, ..., None]), self._state)
            mx.eval(probabilities, self._state)
            for probability in np.array(probabilities.astype(mx.float32))[0].tolist():
                yield self._position, probability
                self._position += self._network.chunk


def vad_options(**options: Any) -> VADOptions:
    """Return the options that are not None. Raises: UsageError for an unknown option or value."""
    names = {field.name for field in fields(VADOptions)}
    if unknown := options.keys() - names:
        raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {', '.join(sorted(names))}")
    return VADOptions(**{name: value for name, value in options.items() if value is not None})


def load(path: Path, *, dequantize: bool | None = None) -> VADPipeline:
    """Load a converted folder, or a release of Silero VAD; no convert step is needed."""
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    return VADPipeline(model)
