"""Leave out what is not speech: cut a recording to its speech, and map times back to the recording.

The stretches of speech are joined, and every time in them is shifted by the silence that was removed before it.
Source: faster-whisper 1.2, transcribe.py and vad.py.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import mlx.core as mx
import numpy as np

from ...tasks import Segment, Span, Word
from .model import Model
from .tokenizer import Tokenizer
from .transcribe import FRAMES_PER_SECOND, TranscribeOptions, Transcription

# Options of the detector, faster-whisper's: keep short pauses and a little of the silence around speech.
FILTER = {"min_silence_duration_ms": 2000, "speech_pad_ms": 400, "min_speech_duration_ms": 0}
WINDOWS = {**FILTER, "max_speech_duration_s": 30.0}
LONG_PAUSE_S = 5.0  # no segment holds speech of both sides of a longer one
SEAM_S = 0.5  # a stretch begins with the silence before its speech: no word in it ends earlier


class SpeechOnly:
    """The stretches of speech of a recording, one after the other without what lies between them.

    Shapes: samples [L] float32; the attribute `samples` is [L' <= L].
    """

    def __init__(self, samples: np.ndarray, spans: Sequence[Span], sample_rate: int) -> None:
        bounds = [(round(span.start_s * sample_rate), round(span.end_s * sample_rate)) for span in spans]
        self.samples = np.concatenate([samples[a:b] for a, b in bounds] or [samples[:0]])
        lengths = np.cumsum([b - a for a, b in bounds])
        self.duration_s = len(samples) / sample_rate
        self._ends = (lengths / sample_rate).tolist()
        starts = np.concatenate([[0], lengths[:-1]]) if bounds else np.zeros(0)
        self._silence = [float((a - start) / sample_rate) for (a, _), start in zip(bounds, starts, strict=True)]

    def segment(self, segment: Segment) -> Segment:
        """Return a segment of the joined speech with the times of the recording."""
        words = tuple(self._word(word) for word in segment.words)
        if words:
            return replace(segment, words=words, start_s=words[0].start_s, end_s=words[-1].end_s)
        start_s, end_s = self._within_speech(segment.start_s, segment.end_s)
        return replace(segment, start_s=self.time(start_s), end_s=self.time(end_s, is_end=True))

    def _within_speech(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Return the times of a segment, moved onto a seam that they miss by a little; at it one side is chosen.

        The model's timestamps are rough. On the wrong side of a seam they would be off by all of the silence cut out.
        """
        last = bisect_left(self._ends, end_s) - 1
        if last >= 0 and start_s < self._ends[last] and end_s - self._ends[last] <= SEAM_S:
            end_s = self._ends[last]
        first = bisect_right(self._ends, start_s)
        if first < len(self._ends) and self._ends[first] < end_s and self._ends[first] - start_s <= SEAM_S:
            start_s = self._ends[first]
        return start_s, end_s

    def time(self, time_s: float, *, is_end: bool = False) -> float:
        """Return a time of the joined speech as one of the recording; an end belongs to the stretch before it."""
        return self._shift(time_s, (bisect_left if is_end else bisect_right)(self._ends, time_s))

    def long_pauses(self, start_s: float, end_s: float) -> list[float]:
        """Return where, in a segment of the joined speech, more than LONG_PAUSE_S was cut out."""
        start_s, end_s = self._within_speech(start_s, end_s)
        silences = pairwise(self._silence)
        return [
            end
            for end, (before_s, after_s) in zip(self._ends[:-1], silences, strict=True)
            if start_s < end < end_s and after_s - before_s > LONG_PAUSE_S
        ]

    def windows(self, longest_s: float) -> list[Span]:
        """Return spans of the joined speech of at most longest_s, cut between stretches."""
        windows: list[Span] = []
        for start_s, end_s in pairwise([0.0, *self._ends]):
            if windows and end_s - windows[-1].start_s <= longest_s:
                windows[-1] = Span(windows[-1].start_s, end_s)
            else:
                windows.append(Span(start_s, end_s))
        return windows

    def _word(self, word: Word) -> Word:
        """Return a word with the times of the recording; all of it belongs to the stretch that holds its middle."""
        stretch = bisect_right(self._ends, (word.start_s + word.end_s) / 2)
        return replace(word, start_s=self._shift(word.start_s, stretch), end_s=self._shift(word.end_s, stretch))

    def _shift(self, time_s: float, stretch: int) -> float:
        return round(time_s + self._silence[min(stretch, len(self._silence) - 1)], 2)


class FilteredTranscription(Transcription):
    """The transcription of the speech in a recording; its segments have the times of the recording."""

    def __init__(self, model: Model, tokenizer: Tokenizer, speech: SpeechOnly, options: TranscribeOptions) -> None:
        super().__init__(model, tokenizer, mx.array(speech.samples), options)
        self.speech = speech

    @property
    def duration_s(self) -> float:
        """Return the length of the recording in seconds, what is left out included."""
        return self.speech.duration_s

    def time(self, position_s: float) -> float:
        """Return a time of the joined speech as one of the recording."""
        return self.speech.time(position_s, is_end=True)

    def _cut_at_pauses(self, segments: list[Segment], audio: mx.array, seek: int, size: int) -> list[Segment]:
        pauses = [self.speech.long_pauses(segment.start_s, segment.end_s) for segment in segments]
        if not any(pauses):
            return segments
        offset_s, eot = seek / FRAMES_PER_SECOND, self.tokenizer.eot
        middles = [
            offset_s + (word.start + word.end) / 2 for word in self._align(segments, audio, size) for _ in word.tokens
        ]
        parts: list[Segment] = []
        for segment, cuts in zip(segments, pauses, strict=True):
            n_text = sum(token < eot for token in segment.tokens)
            parts += self._cut(segment, cuts, middles[:n_text]) if cuts else [segment]
            middles = middles[n_text:]
        return parts

    def _cut(self, segment: Segment, cuts: list[float], middles: list[float]) -> list[Segment]:
        """Cut a segment at the times `cuts`. middles: of the word that each text token belongs to."""
        pieces: list[list[int]] = [[] for _ in range(len(cuts) + 1)]
        times, number = iter(middles), 0
        for token in segment.tokens:  # a timestamp stays with the text before it
            number = bisect_right(cuts, next(times, 0.0)) if token < self.tokenizer.eot else number
            pieces[number].append(token)
        bounds = pairwise([segment.start_s, *cuts, segment.end_s])
        parts = [
            replace(segment, text=text, tokens=tuple(tokens), start_s=start_s, end_s=end_s)
            for tokens, (start_s, end_s) in zip(pieces, bounds, strict=True)
            if (text := self.tokenizer.decode([token for token in tokens if token < self.tokenizer.eot]))
        ]
        return parts or [segment]

    def restore(self, segment: Segment) -> Segment:
        """Return a segment with the times of the recording."""
        return super().restore(self.speech.segment(segment))
