"""Transcribe audio as it arrives: words are committed as soon as two consecutive hypotheses agree on them.

A buffer of audio is encoded anew at every step. The committed words of the buffer are the prefix of the decoder's text,
so only what follows them is decoded.
Source: Macháček et al. 2023, "Turning Whisper into a Real-Time Transcription System" (local agreement, n = 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import mlx.core as mx
import numpy as np

from ...audio.load import load_audio
from ...audio.mel import whisper_log_mel
from ...errors import UsageError
from ...forks import require_own_threads
from ...tasks import Word
from ..vad.pipeline import VADStream
from .decoding import DecodingOptions, decode, detect_language
from .model import Model
from .timing import WordTime, align_words, merge_punctuation, shorten_at_sentence_ends, typical_duration
from .tokenizer import Tokenizer
from .transcribe import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE, WINDOW_FRAMES

WINDOW_S = WINDOW_FRAMES / FRAMES_PER_SECOND
LANGUAGE_S = 5.0  # audio after which the detected language is final
LEAD_S = 0.5  # silence that stays in the buffer, in front of speech that may begin
TOKENS_PER_SECOND = 12  # faster than speech; bounds a decoder that repeats itself
SENTENCE_END = (".", "!", "?", "。", "！", "？")
PROMPT_TOKENS = 100


@dataclass(frozen=True)
class StreamOptions:
    """How to transcribe a stream.

    step_s: new audio before the model runs again. buffer_s: length of the buffer, over which it is cut.
    compression_ratio_threshold, logprob_threshold, no_speech_threshold: a hypothesis that openai-whisper would reject
    is ignored.
    Raises: UsageError for values out of range.
    """

    step_s: float = 1.0
    buffer_s: float = 15.0
    compression_ratio_threshold: float = 2.4
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.6
    condition_on_previous_text: bool = True
    initial_prompt: str | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    def __post_init__(self) -> None:
        if not 0.1 <= self.step_s <= 10:
            raise UsageError(f"step_s is {self.step_s}", fix="use 0.1 to 10 seconds")
        if not 2 * self.step_s <= self.buffer_s <= 20:
            raise UsageError(f"buffer_s is {self.buffer_s}", fix="use at least two steps, and at most 20 seconds")


@dataclass(frozen=True)
class StreamUpdate:
    """The result of one step. Times in seconds of the stream.

    committed: words that will not change. tentative: text that may follow them. position_s: audio received so far.
    processing_s: the time that the step took. latency_s: from the end of the first committed word until it was
    committed, waiting and processing together; None if there is no such word.
    """

    committed: tuple[Word, ...]
    tentative: str
    position_s: float
    processing_s: float
    latency_s: float | None
    language: str | None

    @property
    def text(self) -> str:
        """Return the committed words as text."""
        return "".join(word.text for word in self.committed)


class WhisperStream:
    """A stream to feed with pieces of audio; each step returns a StreamUpdate. Memory does not grow with its length."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, options: StreamOptions, vad: VADStream | None = None
    ) -> None:
        self._model, self._tokenizer, self._options, self._vad = model, tokenizer, options, vad
        self._language = options.decoding.language if tokenizer.multilingual else "en"
        self._language_is_final = self._language is not None
        self._audio = np.zeros(0, np.float32)  # the buffer
        self._start = 0  # of the buffer, in samples of the stream
        self._n_new = 0  # samples since the last step
        self._committed: list[WordTime] = []  # words whose audio is still in the buffer
        self._tentative: list[WordTime] = []
        self._previous_tokens = tokenizer.encode(" " + options.initial_prompt) if options.initial_prompt else []
        self._has_speech = vad is None

    @property
    def position_s(self) -> float:
        """Return the seconds of audio received so far."""
        return (self._start + len(self._audio)) / SAMPLE_RATE

    def feed(self, samples: np.ndarray) -> list[StreamUpdate]:
        """Add audio, and run one step if enough of it is new, however much: so a slow machine keeps up.

        Shapes: samples [L] float at 16 kHz. Raises: FormatError if they are not finite or have another shape.
        """
        require_own_threads()
        samples = load_audio(np.asarray(samples), SAMPLE_RATE)
        updates = []
        while len(samples):
            room = WINDOW_FRAMES * HOP_LENGTH - len(self._audio)
            piece, samples = samples[:room], samples[room:]
            self._audio = np.concatenate([self._audio, piece])
            self._n_new += len(piece)
            if self._speech_ends(piece):
                updates.append(self._commit_all())
            elif self._n_new >= self._options.step_s * SAMPLE_RATE:
                updates.append(self._step())
        return [update for update in updates if update is not None]

    def finish(self) -> StreamUpdate:
        """End the stream: commit all words."""
        return self._commit_all()

    def _speech_ends(self, piece: np.ndarray) -> bool:
        """Return whether speech ends in this piece; where the first speech starts, cut the silence before it."""
        if self._vad is None:
            return False
        boundaries = self._vad.feed(piece)
        if boundaries and not self._has_speech:
            self._has_speech = True
            self._cut(round((boundaries[0].time_s - LEAD_S) * SAMPLE_RATE) - self._start)
        return bool(boundaries) and not self._vad.speaking

    def _step(self) -> StreamUpdate | None:
        """Commit the words on which the last two hypotheses agree; None while there is only silence."""
        self._n_new = 0
        if not self._has_speech:
            self._cut(len(self._audio) - round(LEAD_S * SAMPLE_RATE))
            return None
        start = perf_counter()
        words = self._hypothesis()
        n_agreed = 0
        while n_agreed < min(len(self._tentative), len(words)):
            if _normalize(self._tentative[n_agreed].word) != _normalize(words[n_agreed].word):
                break
            n_agreed += 1
        committed = self._commit(words[:n_agreed])
        self._tentative = words[n_agreed:]
        committed += self._shorten_buffer()
        return self._update(committed, start)

    def _commit_all(self) -> StreamUpdate:
        """Commit all words and empty the buffer."""
        start = perf_counter()
        if self._n_new and self._has_speech:
            self._tentative = self._hypothesis()
        committed = self._commit(self._tentative)
        self._tentative, self._n_new, self._has_speech = [], 0, self._vad is None
        self._cut(len(self._audio))
        return self._update(committed, start)

    def _update(self, words: Sequence[WordTime], start: float) -> StreamUpdate:
        """Return the update of a step that began at perf_counter() `start`."""
        committed = tuple(Word(w.word, round(w.start, 2), round(w.end, 2), w.probability) for w in words if w.word)
        processing_s = perf_counter() - start
        latency_s = self.position_s + processing_s - committed[0].end_s if committed else None
        tentative = "".join(word.word for word in self._tentative)
        return StreamUpdate(committed, tentative, self.position_s, processing_s, latency_s, self._language)

    def _hypothesis(self) -> list[WordTime]:
        """Decode the buffer: return the words after the committed ones, with times of the stream."""
        model, tokenizer, options = self._model, self._tokenizer, self._options
        mel = whisper_log_mel(mx.array(self._audio), model.config.n_mels, padding=WINDOW_FRAMES * HOP_LENGTH)
        audio = model.encoder(mel[None, :WINDOW_FRAMES].astype(model.encoder.conv1.weight.dtype))
        mx.eval(audio)
        if not self._language_is_final:
            self._language = next(iter(detect_language(model, tokenizer, audio)))
            self._language_is_final = len(self._audio) >= LANGUAGE_S * SAMPLE_RATE
        prefix = [token for word in self._committed for token in word.tokens]
        seconds = len(self._audio) / SAMPLE_RATE
        use_prompt = options.condition_on_previous_text or options.initial_prompt
        decoding = replace(
            options.decoding,
            language=self._language,
            without_timestamps=True,
            suppress_blank=not prefix,
            prompt=tuple(self._previous_tokens[-PROMPT_TOKENS:]) if use_prompt else (),
            prefix=tuple(prefix),
            sample_len=min(round(seconds * TOKENS_PER_SECOND) + 8, model.config.n_text_ctx // 2 - len(prefix)),
        )
        [result] = decode(model, tokenizer, audio, decoding)
        silent = result.no_speech_prob > options.no_speech_threshold and result.avg_logprob < options.logprob_threshold
        if silent or result.compression_ratio > options.compression_ratio_threshold:
            return []
        text = [token for token in result.tokens if token < tokenizer.eot]
        n_frames = min(len(self._audio) // HOP_LENGTH, WINDOW_FRAMES)
        if not text or n_frames < 2:
            return []
        language, task = self._language or "en", options.decoding.task
        words = align_words(model, tokenizer, audio, prefix + text, n_frames, language=language, task=task)
        return self._new_words(words, len(prefix)) if words else []

    def _new_words(self, words: list[WordTime], n_prefix: int) -> list[WordTime]:
        """Return the words after the first n_prefix tokens, with times of the stream."""
        offset_s = self._start / SAMPLE_RATE
        longest = 2 * typical_duration(words)
        if words[0].duration > longest:  # silence before the first word
            words = [replace(words[0], start=words[0].end - longest), *words[1:]]
        n_tokens, new_words = 0, []
        for word in merge_punctuation(shorten_at_sentence_ends(words, longest)):
            n_tokens += len(word.tokens)
            if n_tokens > n_prefix and word.tokens:
                new_words.append(replace(word, start=offset_s + word.start, end=offset_s + word.end))
        return new_words

    def _commit(self, words: Sequence[WordTime]) -> list[WordTime]:
        """Make words final and return them."""
        self._committed += words
        return list(words)

    def _shorten_buffer(self) -> list[WordTime]:
        """Cut a buffer over buffer_s after a committed sentence, else a word; return words that this had to commit."""
        seconds = len(self._audio) / SAMPLE_RATE
        if seconds <= self._options.buffer_s:
            return []
        words: list[WordTime] = []
        if not self._committed:
            if seconds < WINDOW_S - 5 and self._tentative:
                return []
            words = self._commit(self._tentative)  # the window is full, and no two hypotheses agreed
            self._tentative = []
        ends = [word.end for word in self._committed if word.word.rstrip().endswith(SENTENCE_END)]
        ends = ends or [word.end for word in self._committed]
        at = round(ends[-1] * SAMPLE_RATE) - self._start if ends else 0
        least = len(self._audio) - round(self._options.buffer_s * SAMPLE_RATE)
        self._cut(at if at >= least or self._tentative else len(self._audio) - round(LEAD_S * SAMPLE_RATE))
        return words

    def _cut(self, n_samples: int) -> None:
        """Remove the first samples of the buffer; the words in them become the text before."""
        n_samples = min(max(n_samples, 0), len(self._audio))
        self._audio = self._audio[n_samples:].copy()
        self._start += n_samples
        start_s = self._start / SAMPLE_RATE
        outside = [word for word in self._committed if word.end <= start_s + 0.01]
        self._committed = self._committed[len(outside) :]
        if self._options.condition_on_previous_text:
            tokens = [token for word in outside for token in word.tokens]
            self._previous_tokens = (self._previous_tokens + tokens)[-PROMPT_TOKENS:]


def _normalize(word: str) -> str:
    """Return a word as hypotheses are compared: without case and punctuation."""
    return word.strip().strip(".,!?;:…。，！？").casefold()
