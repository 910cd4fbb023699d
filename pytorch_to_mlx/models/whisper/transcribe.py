"""Transcribe audio of any length: 30-second windows, fallback over temperatures, word times, clips.

Reference: openai-whisper 20250625, whisper/transcribe.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import mlx.core as mx
import numpy as np

from ...audio.mel import whisper_log_mel
from ...errors import UsageError
from ...tasks import Segment, Transcript
from . import timing, words
from .decoding import DecodingOptions, DecodingResult, decode, detect_language
from .languages import LANGUAGES
from .model import Model
from .tokenizer import Tokenizer

SAMPLE_RATE = 16000
HOP_LENGTH = 160
FRAMES_PER_SECOND = 100
WINDOW_FRAMES = 3000


@dataclass(frozen=True)
class TranscribeOptions:
    """Names and defaults are openai-whisper's; times in seconds.

    temperature: tried in this order until a result is neither too repetitive (compression_ratio_threshold) nor too
    improbable (logprob_threshold). no_speech_threshold: a window over it is skipped unless the text is probable.
    clip_timestamps: start, end, start, end, …; the last end may be left out.
    hallucination_silence_threshold: with word times, leave out anomalous text between silences longer than this.
    Raises: UsageError for values that contradict each other or are out of range.
    """

    temperature: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    initial_prompt: str | None = None
    carry_initial_prompt: bool = False
    hotwords: str | None = None
    word_timestamps: bool = False
    prepend_punctuations: str = timing.PREPEND
    append_punctuations: str = timing.APPEND
    clip_timestamps: tuple[float, ...] = (0.0,)
    hallucination_silence_threshold: float | None = None
    best_of: int | None = 5
    seed: int = 0
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    def __post_init__(self) -> None:
        if not self.temperature:
            raise UsageError("temperature is empty", fix="use 0, or 0,0.2,0.4,0.6,0.8,1.0")
        if self.hallucination_silence_threshold is not None and not self.word_timestamps:
            raise UsageError("hallucination_silence_threshold needs word_timestamps")
        points = self.clip_timestamps
        if any(b < a for a, b in pairwise(points)) or any(p < 0 for p in points):
            raise UsageError(f"clip_timestamps {list(points)} are not increasing times")


def decode_with_fallback(
    model: Model, tokenizer: Tokenizer, audio: mx.array, options: TranscribeOptions, rng: np.random.Generator
) -> list[DecodingResult]:
    """Decode windows at rising temperatures until each result is plausible. Shapes: audio [B, S, D] -> B results."""
    results: dict[int, DecodingResult] = {}
    pending = list(range(audio.shape[0]))
    for temperature in options.temperature:
        changes = {"temperature": temperature}
        if temperature > 0:
            changes |= {"beam_size": None, "patience": None, "best_of": options.best_of}
        subset = audio if len(pending) == audio.shape[0] else audio[mx.array(pending)]
        new_results = decode(model, tokenizer, subset, replace(options.decoding, **changes), rng)
        results |= zip(pending, new_results, strict=True)
        pending = [window for window in pending if _is_implausible(results[window], options)]
        if not pending:
            break
    return [results[window] for window in range(audio.shape[0])]


def _is_implausible(result: DecodingResult, options: TranscribeOptions) -> bool:
    """Return whether a window should be decoded again: its text is repetitive or improbable, and it is not silent."""
    max_ratio, min_logprob = options.compression_ratio_threshold, options.logprob_threshold
    repetitive = max_ratio is not None and result.compression_ratio > max_ratio
    improbable = min_logprob is not None and result.avg_logprob < min_logprob
    silent = options.no_speech_threshold is not None and result.no_speech_prob > options.no_speech_threshold
    return (repetitive or improbable) and not (improbable and silent)


class Transcription:
    """The transcription of one recording: iterate over it, and each window is decoded when its segments are needed.

    Shapes: samples [L] float32 at 16 kHz. `language` is known after construction. `when_moved`, if it is set, is called
    after each window with the seconds of the recording that are done.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, samples: mx.array, options: TranscribeOptions) -> None:
        self.model, self.tokenizer = model, tokenizer
        window = WINDOW_FRAMES * HOP_LENGTH
        self.mel = whisper_log_mel(samples, model.config.n_mels, padding=window)  # [T + 3000, M]
        self.content_frames = self.mel.shape[0] - WINDOW_FRAMES
        language = options.decoding.language
        if language is None:
            language = next(iter(detect_language(model, tokenizer, self.encode(self.mel[:WINDOW_FRAMES]))))
        self.language = language if tokenizer.multilingual else "en"
        self.options = replace(options, decoding=replace(options.decoding, language=self.language))
        self.rng = np.random.default_rng(options.seed)
        self.when_moved: Callable[[float], None] | None = None
        self.last_speech_s = 0.0

    @property
    def language_name(self) -> str:
        """Return the English name of the language, in lower case."""
        return LANGUAGES[self.language]

    @property
    def duration_s(self) -> float:
        """Return the length of the recording in seconds."""
        return self.content_frames / FRAMES_PER_SECOND

    def __iter__(self) -> Iterator[Segment]:
        """Yield the segments of each window, with the times of the recording."""
        prompt = Prompt(self.tokenizer, self.options, self.model.config.n_text_ctx)
        for start, end in self._clips():
            seek = start
            while seek < min(end, self.content_frames):
                size = min(WINDOW_FRAMES, self.content_frames - seek, end - seek)
                audio = self.encode(self.mel[seek : seek + size])
                decoding = replace(self.options.decoding, prompt=prompt.tokens())
                [result] = decode_with_fallback(
                    self.model, self.tokenizer, audio, replace(self.options, decoding=decoding), self.rng
                )
                if self._is_silent(result):
                    seek += size
                    self._report(seek)
                    continue
                segments, next_seek = self._segments(result, seek, size)
                segments = self._cut_at_pauses(segments, audio, seek, size)
                if self.options.word_timestamps:
                    segments, next_seek, discard = self._with_words(segments, audio, seek, size, next_seek, result)
                    if discard:
                        seek = next_seek
                        continue
                segments = [_clear_if_empty(segment) for segment in segments]
                prompt.add(segments, result)
                seek = next_seek if next_seek > seek else seek + size  # always forward, whatever the timestamps say
                self._report(seek)
                yield from map(self.restore, segments)

    def restore(self, segment: Segment) -> Segment:
        """Return a segment with the times of the recording, none after its end; the model's may lie behind it."""
        words = tuple(
            replace(word, start_s=min(word.start_s, self.duration_s), end_s=min(word.end_s, self.duration_s))
            for word in segment.words
        )
        start_s, end_s = min(segment.start_s, self.duration_s), min(segment.end_s, self.duration_s)
        return replace(segment, start_s=start_s, end_s=end_s, words=words)

    def finish(self) -> Transcript:
        """Return the whole transcript."""
        segments = tuple(self)
        return Transcript("".join(segment.text for segment in segments), self.language, segments)

    def time(self, position_s: float) -> float:
        """Return a time of what is decoded as one of the recording."""
        return position_s

    def _report(self, frame: int) -> None:
        if self.when_moved is not None:
            self.when_moved(self.time(min(frame, self.content_frames) / FRAMES_PER_SECOND))

    def encode(self, mel: mx.array) -> mx.array:
        """Encode one window, padded to 30 s. Shapes: mel [T <= 3000, M] -> [1, S, D]."""
        missing = WINDOW_FRAMES - mel.shape[0]
        mel = mx.pad(mel, [(0, missing), (0, 0)])[None].astype(self.model.encoder.conv1.weight.dtype)
        audio = self.model.encoder(mel)
        mx.eval(audio)
        return audio

    def _clips(self) -> list[tuple[int, int]]:
        """Return start and end of each part to transcribe, in mel frames."""
        points = [round(time * FRAMES_PER_SECOND) for time in self.options.clip_timestamps] or [0]
        if len(points) % 2:
            points.append(self.content_frames)
        return list(zip(points[::2], points[1::2], strict=True))

    def _is_silent(self, result: DecodingResult) -> bool:
        """Return whether a window is skipped: it is probably silent and its text is improbable."""
        threshold, min_logprob = self.options.no_speech_threshold, self.options.logprob_threshold
        if threshold is None or result.no_speech_prob <= threshold:
            return False
        return min_logprob is None or result.avg_logprob <= min_logprob

    def _segments(self, result: DecodingResult, seek: int, size: int) -> tuple[list[Segment], int]:
        """Cut the tokens of a window at its timestamps; also return the frame at which the next window starts.

        Text after the last pair of timestamps is decoded again in the next window.
        """
        begin, tokens = self.tokenizer.timestamp_begin, result.tokens
        is_timestamp = [token >= begin for token in tokens]
        frames_per_step = WINDOW_FRAMES // self.model.config.n_audio_ctx
        step_s = frames_per_step / FRAMES_PER_SECOND
        offset_s = seek / FRAMES_PER_SECOND
        ends_single = is_timestamp[-2:] == [False, True]
        cuts = [i for i in range(1, len(tokens)) if is_timestamp[i - 1] and is_timestamp[i]]
        if not cuts:
            duration = size / FRAMES_PER_SECOND
            last = next((token for token in reversed(tokens) if token >= begin), begin)
            if last != begin:
                duration = (last - begin) * step_s
            return [self._segment(tokens, offset_s, offset_s + duration, result)], seek + size
        if ends_single:
            cuts.append(len(tokens))
        segments, start = [], 0
        for cut in cuts:
            piece = tokens[start:cut]
            first, last = (piece[0] - begin) * step_s, (piece[-1] - begin) * step_s
            segments.append(self._segment(piece, offset_s + first, offset_s + last, result))
            start = cut
        if ends_single:  # no speech after the last timestamp
            return segments, seek + size
        return segments, seek + (tokens[start - 1] - begin) * frames_per_step

    def _segment(self, tokens: Sequence[int], start_s: float, end_s: float, result: DecodingResult) -> Segment:
        return Segment(
            text=self.tokenizer.decode([token for token in tokens if token < self.tokenizer.eot]),
            start_s=start_s,
            end_s=end_s,
            tokens=tuple(tokens),
            avg_logprob=result.avg_logprob,
            no_speech_prob=result.no_speech_prob,
            temperature=result.temperature,
            compression_ratio=result.compression_ratio,
        )

    def _cut_at_pauses(self, segments: list[Segment], audio: mx.array, seek: int, size: int) -> list[Segment]:
        """Return the segments, none across a pause that was cut out. Shapes: audio [1, S, D]."""
        return segments

    def _align(self, segments: Sequence[Segment], audio: mx.array, size: int) -> list[timing.WordTime]:
        """Return the words of a window's segments. Shapes: audio [1, S, D]."""
        text = [token for segment in segments for token in segment.tokens if token < self.tokenizer.eot]
        task = self.options.decoding.task
        return timing.align_words(self.model, self.tokenizer, audio, text, size, language=self.language, task=task)

    def _with_words(
        self, segments: list[Segment], audio: mx.array, seek: int, size: int, next_seek: int, result: DecodingResult
    ) -> tuple[list[Segment], int, bool]:
        """Return the segments with words, the frame to continue at, and whether to discard them and decode from there.

        Shapes: audio [1, S, D].
        """
        tokenizer, options = self.tokenizer, self.options
        offset_s = seek / FRAMES_PER_SECOND
        segments = words.add_words(
            segments,
            self._align(segments, audio, size),
            eot=tokenizer.eot,
            offset_s=offset_s,
            last_speech_s=self.last_speech_s,
            prepend=options.prepend_punctuations,
            append=options.append_punctuations,
        )
        is_timestamp = [token >= tokenizer.timestamp_begin for token in result.tokens]
        ends_single = is_timestamp[-2:] == [False, True]
        last_word_s = _speech_end(segments)
        if not ends_single and last_word_s is not None and last_word_s > offset_s:
            next_seek = round(last_word_s * FRAMES_PER_SECOND)
        threshold = options.hallucination_silence_threshold
        if threshold is not None:
            window_end_s = (seek + WINDOW_FRAMES) / FRAMES_PER_SECOND
            if not ends_single and last_word_s is not None and last_word_s > offset_s:
                ends_quiet = window_end_s - last_word_s > threshold
                next_seek = round(last_word_s * FRAMES_PER_SECOND) if ends_quiet else seek + size
            first = next((segment for segment in segments if segment.words), None)
            if first is not None and words.is_anomaly(first) and first.start_s - offset_s > threshold:
                return segments, seek + round((first.start_s - offset_s) * FRAMES_PER_SECOND), True
            cut = words.hallucinated_from(
                segments,
                threshold_s=threshold,
                window_start_s=offset_s,
                window_end_s=window_end_s,
                content_end_s=offset_s + size / FRAMES_PER_SECOND,
                last_speech_s=self.last_speech_s,
            )
            if cut is not None:
                next_seek = round(max(offset_s + 1, segments[cut].start_s) * FRAMES_PER_SECOND)
                if self.content_frames / FRAMES_PER_SECOND - segments[cut].end_s < threshold:
                    next_seek = self.content_frames
                segments = segments[:cut]
        last_word_s = _speech_end(segments)
        if last_word_s is not None:
            self.last_speech_s = last_word_s
        return segments, next_seek, False


class Prompt:
    """The tokens that the decoder is prompted with: the initial prompt, hotwords and the text before a window."""

    def __init__(self, tokenizer: Tokenizer, options: TranscribeOptions, n_text_ctx: int) -> None:
        text = " ".join(part.strip() for part in (options.initial_prompt, options.hotwords) if part)
        self.initial = tokenizer.encode(" " + text) if text else []
        self.carry = options.carry_initial_prompt or options.hotwords is not None
        self.condition = options.condition_on_previous_text
        self.room = n_text_ctx // 2 - 1 - len(self.initial)
        self.all = list(self.initial)
        self.reset_at = 0

    def tokens(self) -> tuple[int, ...]:
        """Return the prompt of the next window."""
        if not self.carry:
            return tuple(self.all[self.reset_at :])
        recent = self.all[max(len(self.initial), self.reset_at) :]
        return tuple(self.initial + (recent[-self.room :] if self.room > 0 else []))

    def add(self, segments: Sequence[Segment], result: DecodingResult) -> None:
        """Add the text of a window; it starts anew after text that was sampled at a high temperature."""
        self.all += [token for segment in segments for token in segment.tokens]
        if not self.condition or result.temperature > 0.5:
            self.reset_at = len(self.all)


def _clear_if_empty(segment: Segment) -> Segment:
    """Return a segment without duration or text without its tokens; any other as it is."""
    if segment.start_s == segment.end_s or not segment.text.strip():
        return replace(segment, text="", tokens=(), words=())
    return segment


def _speech_end(segments: Sequence[Segment]) -> float | None:
    """Return where the last word ends, or else the last segment."""
    last = next((word for segment in reversed(segments) for word in reversed(segment.words)), None)
    return last.end_s if last else segments[-1].end_s if segments else None
