"""Leave out what is not speech: cut a recording to its speech, and put the times of what was heard back.

The way of faster-whisper 1.2 (transcribe.py, vad.py): the stretches of speech are joined, and every time found in them
is moved by the silence that was before it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import numpy as np

from ...tasks import Segment, Span, Word
from .model import Model
from .tokenizer import Tokenizer
from .transcribe import TranscribeOptions, Transcription

# As in faster-whisper: pauses in speech stay, and so does a little of the silence around it.
FILTER = {"min_silence_duration_ms": 2000, "speech_pad_ms": 400, "min_speech_duration_ms": 0}
WINDOWS = {**FILTER, "min_silence_duration_ms": 160, "max_speech_duration_s": 30.0}


class SpeechOnly:
    """The stretches of speech of a recording, one after the other without what is between them.

    Shapes: samples [L] float32 -> `samples`, [L' <= L].
    """

    def __init__(self, samples: np.ndarray, spans: Sequence[Span], sample_rate: int) -> None:
        bounds = [(round(span.start_s * sample_rate), round(span.end_s * sample_rate)) for span in spans]
        self.samples = np.concatenate([samples[a:b] for a, b in bounds] or [samples[:0]])
        lengths = np.cumsum([b - a for a, b in bounds])
        self._ends = (lengths / sample_rate).tolist()
        starts = np.concatenate([[0], lengths[:-1]]) if bounds else np.zeros(0)
        self._silence = [float((a - start) / sample_rate) for (a, _), start in zip(bounds, starts, strict=True)]

    def segment(self, segment: Segment) -> Segment:
        """A segment of the joined speech with its times in the recording."""
        words = tuple(self._word(word) for word in segment.words)
        if words:
            return replace(segment, words=words, start_s=words[0].start_s, end_s=words[-1].end_s)
        return replace(segment, start_s=self.time(segment.start_s), end_s=self.time(segment.end_s, is_end=True))

    def time(self, time_s: float, *, is_end: bool = False) -> float:
        """A time in the joined speech as one in the recording; an end belongs to the stretch before it."""
        return self._moved(time_s, (bisect_left if is_end else bisect_right)(self._ends, time_s))

    def _word(self, word: Word) -> Word:
        """A word stays in one stretch: that of its middle."""
        stretch = bisect_right(self._ends, (word.start_s + word.end_s) / 2)
        return replace(word, start_s=self._moved(word.start_s, stretch), end_s=self._moved(word.end_s, stretch))

    def _moved(self, time_s: float, stretch: int) -> float:
        return round(time_s + self._silence[min(stretch, len(self._silence) - 1)], 2)


def speech_windows(spans: Sequence[Span], longest_s: float) -> list[Span]:
    """Stretches of speech, joined with the pauses between them, to windows of at most longest_s."""
    windows: list[Span] = []
    for span in spans:
        if windows and span.end_s - windows[-1].start_s <= longest_s:
            windows[-1] = Span(windows[-1].start_s, span.end_s)
        else:
            windows.append(span)
    return windows


class FilteredTranscription(Transcription):
    """The transcription of the speech in a recording, with the times of the recording."""

    def __init__(self, model: Model, tokenizer: Tokenizer, speech: SpeechOnly, options: TranscribeOptions) -> None:
        super().__init__(model, tokenizer, mx.array(speech.samples), options)
        self.speech = speech

    def restore(self, segment: Segment) -> Segment:
        return self.speech.segment(segment)
