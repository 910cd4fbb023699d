"""What models can do: for each task one Protocol that every pipeline of it follows, and one result dataclass.

The work of every pipeline can be stopped: see cancel.py.
"""

from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Candidate:
    """One translation of a sentence. tokens: without the end token. is_complete: the end token came before the limit.

    score: what the search ranks by; log_prob: the sum of the tokens' log probabilities, the end token's included.
    """

    text: str
    score: float
    log_prob: float
    tokens: tuple[int, ...] = ()
    is_complete: bool = True


@dataclass(frozen=True)
class TranslatedSentence:
    """A sentence and its translations, the best first; or what lies between sentences, without any.

    repeats: the best translation runs in a loop, which its source does not. n_source: tokens of the source, of which
    n_unknown stand for characters that the vocabulary does not have.
    """

    source: str
    candidates: tuple[Candidate, ...] = ()
    repeats: bool = False
    n_source: int = 0
    n_unknown: int = 0

    @property
    def text(self) -> str:
        return self.candidates[0].text if self.candidates else self.source


@dataclass(frozen=True)
class Translation:
    """A translated text. src, tgt: the languages' codes, empty where the model has one pair.

    sentences: all parts of the text, what lies between sentences included; joined, their texts are `text`.
    """

    text: str
    source: str
    src: str = ""
    tgt: str = ""
    sentences: tuple[TranslatedSentence, ...] = ()

    @property
    def repeats(self) -> bool:
        """Return whether the translation of a sentence runs in a loop."""
        return any(sentence.repeats for sentence in self.sentences)

    @property
    def is_complete(self) -> bool:
        """Return whether every sentence ended before the limit of its length."""
        return all(sentence.candidates[0].is_complete for sentence in self.sentences if sentence.candidates)

    def lines(self) -> tuple[str, ...]:
        """Return what is printed: the text, or where sentences have several translations, each with its score."""
        groups = [sentence.candidates for sentence in self.sentences if sentence.candidates]
        if all(len(candidates) == 1 for candidates in groups):
            return (self.text.removesuffix("\n"),)
        return tuple(f"{c.score:9.4f}  {c.text}" for candidates in groups for c in candidates)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints: the text, the flags and the sentences with their candidates."""
        sentences = [
            {
                "source": sentence.source,
                "candidates": [{"text": c.text, "score": c.score, "log_prob": c.log_prob} for c in sentence.candidates],
                "repeats": sentence.repeats,
                "tokens": [sentence.n_source, len(sentence.candidates[0].tokens)],
                **({"n_unknown": sentence.n_unknown} if sentence.n_unknown else {}),
            }
            for sentence in self.sentences
            if sentence.candidates
        ]
        languages = {name: code for name, code in (("src", self.src), ("tgt", self.tgt)) if code}
        flags = {"repeats": self.repeats, "is_complete": self.is_complete}
        return {"text": self.text, **languages, **flags, "sentences": sentences}


@dataclass(frozen=True)
class Completion:
    """What a language model wrote after a prompt. tokens: those that end it included.

    n_prompt: tokens of the prompt, n_reused: those of them that were known from before. stop_reason: "end" where the
    model ended, "stop" at a stop string, "length" at the limit. prefill_s, decode_s: until the first token, and after.
    """

    text: str
    tokens: tuple[int, ...]
    n_prompt: int
    stop_reason: str
    n_reused: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0

    def lines(self) -> tuple[str]:
        """Return what is printed: the text."""
        return (self.text.removesuffix("\n"),)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints: the text, the numbers of tokens and how long they took."""
        counts = {"prompt": self.n_prompt, "reused": self.n_reused, "written": len(self.tokens)}
        seconds = {"prefill_s": round(self.prefill_s, 3), "decode_s": round(self.decode_s, 3)}
        return {"text": self.text, "stop_reason": self.stop_reason, "tokens": counts, **seconds}


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
class Narrator(TextToSpeech, Protocol):
    """A pipeline that speaks with voices of its own, which have names: `serve` takes no others."""

    def voice_languages(self) -> dict[str, str]:
        """Return the names of the voices in alphabetical order, each with its language, "" where it is not known."""
        ...

    def generate(
        self,
        text: str,
        /,
        *,
        voice: Any = None,
        speed: float = 1.0,
        lang_code: str | None = None,
        seed: int = 0,
        stream: bool = False,
    ) -> Iterator[Speech]:
        """Yield speech piece by piece. voice: a name, or a blend such as "a:0.6+b:0.4". lang_code: of the text."""
        ...


@runtime_checkable
class PhoneticNarrator(Narrator, Protocol):
    """A narrator of phonemes: its `generate` takes `phonemes` in the place of a text."""

    def phonemize(self, text: str, /, *, lang_code: str | None = None) -> Iterator[str]:
        """Yield the phonemes of a text, in pieces that fit the model."""
        ...


class SegmentStream(Protocol):
    """A transcription to iterate over; the segments are computed as they are needed. language: its code."""

    @property
    def language(self) -> str: ...
    @property
    def language_name(self) -> str: ...
    @property
    def duration_s(self) -> float: ...
    def __iter__(self) -> Iterator[Segment]: ...


@runtime_checkable
class SpeechToText(Protocol):
    """A pipeline that transcribes. languages: codes of those that it knows."""

    @property
    def languages(self) -> tuple[str, ...]: ...

    def transcribe(self, audio: Any, /, **options: Any) -> Transcript:
        """Transcribe a file, its bytes, or samples. Shapes: audio, if an array, [L] float at 16 kHz."""
        ...

    def segments(self, audio: Any, /, **options: Any) -> SegmentStream:
        """Return the transcription segment by segment; options are those of `transcribe`, such as task ("transcribe" or
        "translate"), language, initial_prompt, temperature and word_timestamps.
        """
        ...

    def stream(self, **options: Any) -> Any:
        """Return a stream for audio as it arrives: `feed(samples)` gives updates, and `finish()` the last one."""
        ...


@runtime_checkable
class VoiceActivityDetector(Protocol):
    """A pipeline that finds speech."""

    def detect(self, audio: Any, /, **options: Any) -> VoiceActivity:
        """Find the stretches of speech in a recording."""
        ...

    def stream(self, **options: Any) -> Any:
        """Return a stream for audio as it arrives: `feed(samples)` and `finish()` give where speech starts and ends."""
        ...


@runtime_checkable
class KeywordSpotter(Protocol):
    """A pipeline that finds words in a recording or in audio without end. labels: of the words."""

    @property
    def labels(self) -> list[str]: ...

    def listen(self, blocks: Iterable[Any], /, **rules: Any) -> Iterator[Detection]:
        """Yield detections as soon as they are certain. Shapes: blocks [L] each, at 16 kHz."""
        ...

    def stream(self, **rules: Any) -> Any:
        """Return a stream for audio as it arrives: `feed(samples)` gives detections."""
        ...


@runtime_checkable
class Translator(Protocol):
    """A pipeline that translates. languages: codes of those that it translates into, none where it has one pair.

    names_source: whether a call must name the language of the text.
    """

    @property
    def languages(self) -> tuple[str, ...]: ...
    @property
    def names_source(self) -> bool: ...
    def translate(
        self, text: str | Sequence[str], /, *, src: str | None = None, tgt: str | None = None, **options: Any
    ) -> Translation | list[Translation]:
        """Translate a text, or each of several. src, tgt: language codes, where the model has more than one pair."""
        ...


@runtime_checkable
class TextGenerator(Protocol):
    """A pipeline that continues texts, and answers."""

    def generate(self, prompt: str | Sequence[str], /, **options: Any) -> Completion | list[Completion]:
        """Answer a prompt, or each of several; models that were not trained to answer continue it."""
        ...

    def chat(self, messages: str | Sequence[Any], /, **options: Any) -> Completion:
        """Answer the last of the messages, {"role": "user", "content": "…"} each."""
        ...


@runtime_checkable
class Vocoder(Protocol):
    """A pipeline that makes audio of mel spectrograms. sample_rate: of its audio, in Hz."""

    @property
    def sample_rate(self) -> int: ...

    def vocode(self, mel: Any, /) -> Any:
        """Return the audio of a mel spectrogram. Shapes: mel [T, n_mels] -> [L] float32 NumPy array."""
        ...


PROTOCOLS: dict[str, type] = {
    "text-to-speech": TextToSpeech,
    "speech-to-text": SpeechToText,
    "voice-activity-detection": VoiceActivityDetector,
    "keyword-spotting": KeywordSpotter,
    "translation": Translator,
    "text-generation": TextGenerator,
    "vocoding": Vocoder,
}
"""What the pipeline of a card's `task` follows."""

Pipeline = TextToSpeech | SpeechToText | VoiceActivityDetector | KeywordSpotter | Translator | TextGenerator | Vocoder
