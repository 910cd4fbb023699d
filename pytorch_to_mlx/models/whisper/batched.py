"""Transcribe many windows at once: they do not depend on each other, so the decoder reads its weights once for all.

Each window is a stretch of speech of at most 30 s; no text is carried from one to the next. The idea is that of
WhisperX (Bain et al. 2023) and of faster-whisper's BatchedInferencePipeline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import mlx.core as mx

from ...errors import UsageError
from ...tasks import Segment, Span
from .model import Model
from .tokenizer import Tokenizer
from .transcribe import FRAMES_PER_SECOND, Prompt, TranscribeOptions, Transcription, decode_with_fallback


class BatchedTranscription(Transcription):
    """Like Transcription, by the windows that are given; batch_size of them are decoded together."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        samples: mx.array,
        options: TranscribeOptions,
        windows: Sequence[Span],
        batch_size: int,
    ) -> None:
        if not 1 <= batch_size <= 1000:
            raise UsageError(f"batch_size is {batch_size}", fix="use 1 to 1000")
        if options.hallucination_silence_threshold is not None:
            raise UsageError("hallucination_silence_threshold hears windows again", fix="leave out batch_size")
        super().__init__(model, tokenizer, samples, options)
        self.windows = [self._frames(window) for window in windows]
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Segment]:
        prompt = Prompt(self.tokenizer, self.options, self.model._config.n_text_ctx).tokens()
        options = replace(self.options, decoding=replace(self.options.decoding, prompt=prompt))
        for first in range(0, len(self.windows), self.batch_size):
            chosen = self.windows[first : first + self.batch_size]
            audio = mx.concatenate([self.encode(self.mel[start:end]) for start, end in chosen])
            results = decode_with_fallback(self.model, self.tokenizer, audio, options, self.rng)
            for row, ((start, end), result) in enumerate(zip(chosen, results, strict=True)):
                self.position_s = end / FRAMES_PER_SECOND
                if self._is_silent(result):
                    continue
                segments, _ = self._segments(result, start, end - start, rest=True)
                if options.word_timestamps:
                    heard = audio[row : row + 1]
                    segments, _, _ = self._with_words(segments, heard, start, end - start, end, result)
                yield from (segment for segment in segments if segment.text.strip())

    def _frames(self, window: Span) -> tuple[int, int]:
        start, end = (round(time * FRAMES_PER_SECOND) for time in (window.start_s, window.end_s))
        return start, min(end, self.content_frames)
