"""Transcribe audio while it comes: words are committed as soon as two hypotheses in a row agree on them.

The audio that is not settled is heard again whenever a step of new audio has come. What is committed is given to the
decoder as the beginning of its text, so only what follows is decoded.
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
from ...tasks import Word
from ..vad.pipeline import VADStream
from .decoding import DecodingOptions, decode, detect_language
from .model import Model
from .timing import WordTime, find_words, merge_punctuation, shorten_at_sentence_ends, typical_duration
from .tokenizer import Tokenizer
from .transcribe import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE, WINDOW_FRAMES

WINDOW_S = WINDOW_FRAMES / FRAMES_PER_SECOND
LANGUAGE_S = 5.0  # audio after which the detected language is settled
KEPT_SILENCE_S = 0.5  # before speech that may begin
TOKENS_PER_SECOND = 12  # nobody speaks faster; bounds a decoder that repeats itself
SENTENCE_END = (".", "!", "?", "。", "！", "？")
PROMPT_TOKENS = 100


@dataclass(frozen=True)
class StreamOptions:
    """step_s: new audio before the model runs again. buffer_s: audio that may wait to be settled before it is cut.

    compression_ratio_threshold, logprob_threshold, no_speech_threshold: hypotheses that openai-whisper would not
    believe count for nothing.
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
    """What one step settled. Times in seconds of the stream.

    committed: words that will not change. tentative: what may follow them. position_s: how much has been heard.
    processing_s: what this step took. latency_s: from the end of the first word of `committed` until it was committed,
    the waiting and the processing; None where nothing was.
    """

    committed: tuple[Word, ...]
    tentative: str
    position_s: float
    processing_s: float
    latency_s: float | None
    language: str | None

    @property
    def text(self) -> str:
        """The committed words as text."""
        return "".join(word.text for word in self.committed)


class WhisperStream:
    """Fed pieces of audio; gives a StreamUpdate for every step. Memory does not grow with the length of the stream."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, options: StreamOptions, voice: VADStream | None = None
    ) -> None:
        self._model, self._tokenizer, self._options, self._voice = model, tokenizer, options, voice
        self._language = options.decoding.language if tokenizer.multilingual else "en"
        self._settled_language = self._language is not None
        self._audio = np.zeros(0, np.float32)  # what is not settled
        self._start = 0  # of it, in samples of the stream
        self._new = 0  # samples since the last step
        self._committed: list[WordTime] = []  # words whose audio is still in the buffer
        self._before: list[int] = tokenizer.encode(" " + options.initial_prompt) if options.initial_prompt else []
        self._tentative: list[WordTime] = []
        self._heard_speech = voice is None

    @property
    def position_s(self) -> float:
        return (self._start + len(self._audio)) / SAMPLE_RATE

    def feed(self, samples: np.ndarray) -> list[StreamUpdate]:
        """Hear more audio: one step if enough has come, however much it is, so that a slow machine keeps up.

        Shapes: samples [L] float at 16 kHz. Raises: FormatError if they are not finite.
        """
        samples = load_audio(np.asarray(samples), SAMPLE_RATE)
        updates = []
        while len(samples):
            room = WINDOW_FRAMES * HOP_LENGTH - len(self._audio)
            piece, samples = samples[:room], samples[room:]
            self._audio = np.concatenate([self._audio, piece])
            self._new += len(piece)
            if self._has_paused(piece):
                updates.append(self._end())
            elif self._new >= self._options.step_s * SAMPLE_RATE:
                updates.append(self._step())
        return [update for update in updates if update is not None]

    def finish(self) -> StreamUpdate:
        """The end of the stream: everything is committed."""
        return self._end()

    def _has_paused(self, piece: np.ndarray) -> bool:
        """Whether speech has just ended."""
        if self._voice is None:
            return False
        found = self._voice.feed(piece)
        if found and not self._heard_speech:
            self._heard_speech = True
            self._cut(round((found[0].time_s - KEPT_SILENCE_S) * SAMPLE_RATE) - self._start)
        return bool(found) and not self._voice.speaking

    def _step(self) -> StreamUpdate | None:
        self._new = 0
        if not self._heard_speech:
            self._cut(len(self._audio) - round(KEPT_SILENCE_S * SAMPLE_RATE))
            return None
        began = perf_counter()
        words = self._hypothesis()
        agreed = 0
        while agreed < min(len(self._tentative), len(words)):
            if _plain(self._tentative[agreed].word) != _plain(words[agreed].word):
                break
            agreed += 1
        committed = self._commit(words[:agreed])
        self._tentative = words[agreed:]
        committed += self._shorten()
        return self._update(committed, began)

    def _end(self) -> StreamUpdate:
        """Commit everything and begin anew behind it."""
        began = perf_counter()
        if self._new and self._heard_speech:
            self._tentative = self._hypothesis()
        committed = self._commit(self._tentative)
        self._tentative, self._new, self._heard_speech = [], 0, self._voice is None
        self._cut(len(self._audio))
        return self._update(committed, began)

    def _update(self, words: Sequence[WordTime], began: float) -> StreamUpdate:
        committed = tuple(Word(w.word, round(w.start, 2), round(w.end, 2), w.probability) for w in words if w.word)
        took = perf_counter() - began
        latency = self.position_s + took - committed[0].end_s if committed else None
        tentative = "".join(word.word for word in self._tentative)
        return StreamUpdate(committed, tentative, self.position_s, took, latency, self._language)

    def _hypothesis(self) -> list[WordTime]:
        """The words that follow the committed ones, with times of the stream."""
        model, tokenizer, options = self._model, self._tokenizer, self._options
        mel = whisper_log_mel(mx.array(self._audio), model._config.n_mels, padding=WINDOW_FRAMES * HOP_LENGTH)
        audio = model.encoder(mel[None, :WINDOW_FRAMES].astype(model.encoder.conv1.weight.dtype))
        mx.eval(audio)
        if not self._settled_language:
            self._language = next(iter(detect_language(model, tokenizer, audio)))
            self._settled_language = len(self._audio) >= LANGUAGE_S * SAMPLE_RATE
        known = [token for word in self._committed for token in word.tokens]
        seconds = len(self._audio) / SAMPLE_RATE
        prompt = self._before[-PROMPT_TOKENS:] if options.condition_on_previous_text or options.initial_prompt else []
        decoding = replace(
            options.decoding,
            language=self._language,
            without_timestamps=True,
            suppress_blank=not known,
            prompt=tuple(prompt),
            prefix=tuple(known),
            sample_len=min(round(seconds * TOKENS_PER_SECOND) + 8, model._config.n_text_ctx // 2 - len(known)),
        )
        [result] = decode(model, tokenizer, audio, decoding)
        silent = result.no_speech_prob > options.no_speech_threshold and result.avg_logprob < options.logprob_threshold
        if silent or result.compression_ratio > options.compression_ratio_threshold:
            return []
        text = [token for token in result.tokens if token < tokenizer.eot]
        frames = min(len(self._audio) // HOP_LENGTH, WINDOW_FRAMES)
        if not text or frames < 2:
            return []
        found = find_words(
            model, tokenizer, audio, known + text, frames, language=self._language or "en", task=options.decoding.task
        )
        if not found:
            return []
        offset = self._start / SAMPLE_RATE
        longest = 2 * typical_duration(found)
        if found[0].duration > longest:  # silence before the first word
            found[0] = replace(found[0], start=found[0].end - longest)
        passed, words = 0, []
        for word in merge_punctuation(shorten_at_sentence_ends(found, longest)):
            passed += len(word.tokens)
            if passed > len(known) and word.tokens:
                words.append(replace(word, start=offset + word.start, end=offset + word.end))
        return words

    def _commit(self, words: Sequence[WordTime]) -> list[WordTime]:
        self._committed += words
        return list(words)

    def _shorten(self) -> list[WordTime]:
        """Keep the buffer under buffer_s: cut it behind a committed sentence, else a word. -> what that commits."""
        seconds = len(self._audio) / SAMPLE_RATE
        if seconds <= self._options.buffer_s:
            return []
        forced: list[WordTime] = []
        if not self._committed:
            if seconds < WINDOW_S - 5 and self._tentative:
                return []
            forced = self._commit(self._tentative)  # the window is full, and no two hypotheses agreed
            self._tentative = []
        ends = [word.end for word in self._committed if word.word.rstrip().endswith(SENTENCE_END)]
        ends = ends or [word.end for word in self._committed]
        at = round(ends[-1] * SAMPLE_RATE) - self._start if ends else 0
        least = len(self._audio) - round(self._options.buffer_s * SAMPLE_RATE)
        self._cut(at if at >= least or self._tentative else len(self._audio) - round(KEPT_SILENCE_S * SAMPLE_RATE))
        return forced

    def _cut(self, samples: int) -> None:
        """Forget the first samples; the words in them become the text before."""
        samples = min(max(samples, 0), len(self._audio))
        self._audio = self._audio[samples:].copy()
        self._start += samples
        start_s = self._start / SAMPLE_RATE
        gone = [word for word in self._committed if word.end <= start_s + 0.01]
        self._committed = self._committed[len(gone) :]
        if self._options.condition_on_previous_text:
            self._before = (self._before + [token for word in gone for token in word.tokens])[-PROMPT_TOKENS:]


def _plain(word: str) -> str:
    return word.strip().strip(".,!?;:…。，！？").casefold()
