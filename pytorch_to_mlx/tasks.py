"""What models can do: for each task one Protocol that every pipeline of it follows, and one result dataclass."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from .errors import CheckError, UsageError

MIN_SPEED, MAX_SPEED = 0.25, 4.0


@dataclass(frozen=True)
class Word:
    """One word with its time in seconds from the start of the audio, and its probability where one is known."""

    text: str
    start_s: float
    end_s: float
    probability: float | None = None


@dataclass(frozen=True)
class Speech:
    """Synthesized speech. audio: float32 NumPy array [L] in samples, nominally in [-1, 1]."""

    audio: Any
    sample_rate: int
    text: str = ""
    phonemes: str = ""
    words: tuple[Word, ...] = ()
    start_s: float = 0.0
    processing_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.audio) / self.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of audio; smaller is faster."""
        return self.processing_s / self.duration_s if len(self.audio) else 0.0

    def checked(self) -> "Speech":
        """Return this speech with its audio as float32. Raises: CheckError if a sample is not finite."""
        import numpy as np

        if not np.isfinite(self.audio).all():
            raise CheckError("the model made audio that is not finite", fix="its weights are damaged")
        return replace(self, audio=np.asarray(self.audio, np.float32))

    @classmethod
    def concatenate(cls, pieces: "Iterable[Speech]") -> "Speech":
        """The pieces of one utterance as one. Raises ValueError if there are none."""
        import numpy as np

        parts = list(pieces)
        if not parts:
            raise ValueError("no speech to concatenate")
        return cls(
            np.concatenate([part.audio for part in parts]),
            parts[0].sample_rate,
            " ".join(part.text for part in parts if part.text),
            " ".join(part.phonemes for part in parts if part.phonemes),
            tuple(word for part in parts for word in part.words),
            parts[0].start_s,
            sum(part.processing_s for part in parts),
        )


def check_speed(speed: float) -> None:
    """Raises: UsageError for a speed outside MIN_SPEED to MAX_SPEED."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise UsageError(f"speed must be between {MIN_SPEED} and {MAX_SPEED}, not {speed}")


def check_seed(seed: int, bits: int = 64) -> None:
    """Raises: UsageError for a seed that is negative or has more bits."""
    if not 0 <= seed < 2**bits:
        raise UsageError(f"seed must be between 0 and 2**{bits} - 1, not {seed}")


@dataclass(frozen=True)
class Segment:
    """A stretch of transcribed speech; times in seconds."""

    text: str
    start_s: float
    end_s: float
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    temperature: float = 0.0
    compression_ratio: float = 0.0


@dataclass(frozen=True)
class Transcript:
    """Recognised speech."""

    text: str
    language: str
    segments: tuple[Segment, ...] = field(default=())


@dataclass(frozen=True)
class Span:
    """A stretch of audio; times in seconds."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class VoiceActivity:
    """Where there is speech in a recording. probabilities: float32 [N], of speech in each chunk of chunk_s seconds."""

    segments: tuple[Span, ...]
    duration_s: float
    probabilities: Any
    chunk_s: float


@dataclass(frozen=True)
class Detection:
    """A word that was heard: its label, when its score passed the threshold, and that score."""

    label: str
    time_s: float
    score: float

    def lines(self) -> tuple[str]:
        """Return the line that is printed: time, label, score."""
        return (f"{self.time_s:10.3f} s  {self.label:20}  {self.score:.3f}",)


@runtime_checkable
class TextToSpeech(Protocol):
    """A pipeline that speaks. sample_rate: of its audio, in Hz."""

    @property
    def sample_rate(self) -> int: ...

    def generate(
        self, text: str, /, *, voice: Any = None, speed: float = 1.0, seed: int = 0, stream: bool = False
    ) -> Iterator[Speech]:
        """Yield speech piece by piece; `Speech.concatenate` joins them. The same seed gives the same samples.

        voice: a name or whatever else the family takes for a voice; None is its default. stream: give the first audio
        sooner, in smaller pieces.
        """
        ...


@runtime_checkable
class SpeechToText(Protocol):
    """A pipeline that transcribes."""

    def transcribe(self, audio: Any, /, **options: Any) -> Transcript:
        """Transcribe a file, its bytes, or samples. Shapes: audio, if an array, [L] float at 16 kHz."""
        ...


@runtime_checkable
class VoiceActivityDetector(Protocol):
    """A pipeline that finds speech."""

    def detect(self, audio: Any, /, **options: Any) -> VoiceActivity:
        """Find the stretches of speech in a recording."""
        ...


@runtime_checkable
class KeywordSpotter(Protocol):
    """A pipeline that finds words in a recording or in audio without end."""

    def listen(self, blocks: Iterable[Any], /, **rules: Any) -> Iterator[Detection]:
        """Yield detections as soon as they are certain. Shapes: blocks [L] each, at 16 kHz."""
        ...


PROTOCOLS: dict[str, type] = {
    "text-to-speech": TextToSpeech,
    "speech-to-text": SpeechToText,
    "voice-activity-detection": VoiceActivityDetector,
    "keyword-spotting": KeywordSpotter,
}
"""What the pipeline of a card's `task` follows."""

Pipeline = TextToSpeech | SpeechToText | VoiceActivityDetector | KeywordSpotter
