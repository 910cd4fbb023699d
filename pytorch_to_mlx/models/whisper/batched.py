"""Transcribe many windows at once: they do not depend on each other, so the decoder reads its weights once for all.

Each window is at most 30 s of speech, the pauses cut out; none is prompted with the text of those before it. Where the
text of a window stops before its end, the window is decoded on from there, prompted with its text: as one by one.
Source: Bain et al. 2023 (WhisperX), section 2.3; faster-whisper 1.2, transcribe.py `BatchedInferencePipeline`.
"""

from collections.abc import Iterator
from dataclasses import replace

import mlx.core as mx

from ...tasks import Segment, Span
from .model import Model
from .speech_only import FilteredTranscription, SpeechOnly
from .tokenizer import Tokenizer
from .transcribe import FRAMES_PER_SECOND, WINDOW_FRAMES, Prompt, TranscribeOptions, decode_with_fallback

SHORTEST_REST = 30  # frames at the end of a window that hold no word: they are the silence around speech
Frames = tuple[int, int]  # of the mel: the first, and the one after the last


class BatchedTranscription(FilteredTranscription):
    """The transcription of the speech in a recording, batch_size windows of it decoded together."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        speech: SpeechOnly,
        options: TranscribeOptions,
        batch_size: int,
    ) -> None:
        super().__init__(model, tokenizer, speech, options)
        self.windows = [self._frames(window) for window in speech.windows(WINDOW_FRAMES / FRAMES_PER_SECOND)]
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Segment]:
        """Yield the segments of each window that has text."""
        for first in range(0, len(self.windows), self.batch_size):
            windows = self.windows[first : first + self.batch_size]
            segments_by_window = self._decode_to_the_end(windows)
            self._report(windows[-1][1])
            for segments in segments_by_window:
                yield from (self.restore(segment) for segment in segments if segment.text.strip())

    def _decode_to_the_end(self, windows: list[Frames]) -> list[list[Segment]]:
        """Return the segments of each window; what follows its last timestamp is decoded until nothing is left."""
        segments_by_window: list[list[Segment]] = [[] for _ in windows]
        prompts = [Prompt(self.tokenizer, self.options, self.model.config.n_text_ctx) for _ in windows]
        last_speech_s = self.last_speech_s
        waiting = dict(enumerate(windows))
        while waiting:
            prompt = prompts[next(iter(waiting))].tokens()
            group = {window: waiting.pop(window) for window in [*waiting] if prompts[window].tokens() == prompt}
            options = replace(self.options, decoding=replace(self.options.decoding, prompt=prompt))
            audio = mx.concatenate([self.encode(self.mel[start:end]) for start, end in group.values()])
            results = decode_with_fallback(self.model, self.tokenizer, audio, options, self.rng)
            for row, ((window, (start, end)), result) in enumerate(zip(group.items(), results, strict=True)):
                if self._is_silent(result):
                    continue
                encoded = audio[row : row + 1]
                segments, next_start = self._segments(result, start, end - start)
                segments = self._cut_at_pauses(segments, encoded, start, end - start)
                if options.word_timestamps:
                    before = [segment.end_s for earlier in segments_by_window[: window + 1] for segment in earlier]
                    self.last_speech_s = max([last_speech_s, *before])
                    segments, next_start, _ = self._with_words(
                        segments, encoded, start, end - start, next_start, result
                    )
                segments_by_window[window] += segments
                prompts[window].add(segments, result)
                if start < next_start < end - SHORTEST_REST:
                    waiting[window] = next_start, end
        return segments_by_window

    def _frames(self, window: Span) -> Frames:
        """Return the first mel frame of a window and the one after its last."""
        start, end = (round(time * FRAMES_PER_SECOND) for time in (window.start_s, window.end_s))
        return start, min(end, self.content_frames)
