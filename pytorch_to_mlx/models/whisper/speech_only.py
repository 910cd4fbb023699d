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
from .transcribe import TranscribeOptions, Transcription

# Options of the detector, faster-whisper's: keep short pauses and a little of the silence around speech.
FILTER = {"min_silence_duration_ms": 2000, "speech_pad_ms": 400, "min_speech_duration_ms": 0}
WINDOWS = {**FILTER, "max_speech_duration_s": 30.0}
LONGEST_PAUSE_S = 5.0  # in a window: a segment may hold speech of both sides, and its times then the pause
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

    def windows(self, longest_s: float) -> list[Span]:
        """Return spans of the joined speech of at most longest_s, cut between stretches and at every long pause."""
        windows: list[Span] = []
        silence_before_s = 0.0
        for (start_s, end_s), silence_s in zip(pairwise([0.0, *self._ends]), self._silence, strict=True):
            pause_s, silence_before_s = silence_s - silence_before_s, silence_s
            if windows and pause_s <= LONGEST_PAUSE_S and end_s - windows[-1].start_s <= longest_s:
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

    def restore(self, segment: Segment) -> Segment:
        """Return a segment with the times of the recording."""
        return super().restore(self.speech.segment(segment))
