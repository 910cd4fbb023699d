"""Transcribe many windows at once: they do not depend on each other, so the decoder reads its weights once for all.

Each window is a stretch of speech of at most 30 s; none is prompted with the text before it.
Source: Bain et al. 2023 (WhisperX), section 2.3; faster-whisper 1.2, transcribe.py `BatchedInferencePipeline`.
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
    """The transcription of some windows of a recording, batch_size of them decoded together.

    Shapes: samples [L] float32 at 16 kHz.
    Raises: UsageError for a batch_size out of range, and for options that need one window after the other.
    """

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
            raise UsageError(
                "hallucination_silence_threshold re-decodes windows; it cannot be combined with batch_size"
            )
        super().__init__(model, tokenizer, samples, options)
        self.windows = [self._frames(window) for window in windows]
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Segment]:
        """Yield the segments of each window that has text."""
        prompt = Prompt(self.tokenizer, self.options, self.model.config.n_text_ctx).tokens()
        options = replace(self.options, decoding=replace(self.options.decoding, prompt=prompt))
        for first in range(0, len(self.windows), self.batch_size):
            windows = self.windows[first : first + self.batch_size]
            audio = mx.concatenate([self.encode(self.mel[start:end]) for start, end in windows])
            results = decode_with_fallback(self.model, self.tokenizer, audio, options, self.rng)
            for row, ((start, end), result) in enumerate(zip(windows, results, strict=True)):
                self.position_s = end / FRAMES_PER_SECOND
                if self._is_silent(result):
                    continue
                segments, _ = self._segments(result, start, end - start, keep_tail=True)
                if options.word_timestamps:
                    encoded = audio[row : row + 1]
                    segments, _, _ = self._with_words(segments, encoded, start, end - start, end, result)
                yield from (segment for segment in segments if segment.text.strip())

    def _frames(self, window: Span) -> tuple[int, int]:
        """Return the first mel frame of a window and the one after its last."""
        start, end = (round(time * FRAMES_PER_SECOND) for time in (window.start_s, window.end_s))
        return start, min(end, self.content_frames)
