"""Audio in, a transcript out: whole recordings, and streams."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.load import Audio, load_audio
from ...backend.dtype import compute_dtype
from ...backend.native import kernels
from ...checkpoint import locate
from ...errors import UsageError
from ...forks import require_own_threads
from ...tasks import Transcript
from ...weights import load_model
from ..vad.card import CARD as VAD_CARD
from ..vad.pipeline import VADPipeline
from ..vad.pipeline import load as load_vad_from
from .batched import BatchedTranscription
from .config import Config
from .decoding import DecodingOptions, detect_language
from .languages import LANGUAGES
from .model import Model
from .speech_only import FILTER, WINDOWS, FilteredTranscription, SpeechOnly
from .stream import StreamOptions, StreamUpdate, WhisperStream
from .tokenizer import Tokenizer, language_code
from .transcribe import SAMPLE_RATE, WINDOW_FRAMES, TranscribeOptions, Transcription
from .weights import WEIGHTS, open_release

PAUSE_MS = 500  # silence that ends an utterance: a stream then commits its words
_DECODING = {field.name for field in fields(DecodingOptions)} - {"temperature", "prompt", "best_of"}
_TRANSCRIBE = {field.name for field in fields(TranscribeOptions)} - {"decoding"}
_STREAM = {field.name for field in fields(StreamOptions)} - {"decoding"}
# A stream sets these of the decoder's options itself.
_STREAM_DECODING = _DECODING - {
    "prefix", "without_timestamps", "suppress_blank", "sample_len", "max_initial_timestamp"
}  # fmt: skip
OPTIONS = frozenset(_DECODING | _TRANSCRIBE | {"vad_filter", "batch_size", "vad_model"})
"""The options of `transcribe` and `segments`."""


class WhisperPipeline:
    """A loaded Whisper: `transcribe` for a whole recording, `segments` one by one, `stream` for audio as it arrives."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.tokenizer = Tokenizer.for_vocab(model.config.n_vocab)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that the model knows."""
        return tuple(LANGUAGES)[: self.tokenizer.num_languages] if self.tokenizer.multilingual else ("en",)

    def transcribe(self, audio: Audio, **options: Any) -> Transcript:
        """Transcribe a file, its bytes, or samples; options are those of TranscribeOptions and DecodingOptions.

        vad_filter: leave out what the voice activity detector `vad_model` does not find to be speech. batch_size:
        windows of speech to decode together.
        Shapes: audio, if an array, [L] float at 16 kHz.
        Raises: UsageError for an unknown option or value, FormatError for audio that cannot be read.
        """
        return self.segments(audio, **options).finish()

    def segments(
        self,
        audio: Audio,
        *,
        vad_filter: bool = False,
        batch_size: int = 1,
        vad_model: str | None = None,
        **options: Any,
    ) -> Transcription:
        """Return the transcription to iterate over; its `language` and `duration_s` are known before the first segment.

        The options, Shapes and Raises are those of `transcribe`.
        """
        require_own_threads()
        settings = check_options(vad_filter=vad_filter, batch_size=batch_size, **options)
        samples = load_audio(audio, SAMPLE_RATE)
        if not vad_filter and batch_size == 1:
            return Transcription(self.model, self.tokenizer, mx.array(samples), settings)
        spans = load_vad(vad_model).detect(samples, **(FILTER if batch_size == 1 else WINDOWS)).segments
        speech = SpeechOnly(samples, spans, SAMPLE_RATE)
        if batch_size == 1:
            return FilteredTranscription(self.model, self.tokenizer, speech, settings)
        return BatchedTranscription(self.model, self.tokenizer, speech, settings, batch_size)

    def stream(self, *, vad_filter: bool = False, vad_model: str | None = None, **options: Any) -> WhisperStream:
        """Return a stream to feed with pieces of audio; options are those of StreamOptions and DecodingOptions.

        vad_filter: run the model only where `vad_model` finds speech, and commit all words at a pause.
        Raises: UsageError for an unknown option or value.
        """
        require_own_threads()
        settings = stream_options(**options)
        vad = load_vad(vad_model).stream(min_silence_duration_ms=PAUSE_MS) if vad_filter else None
        return WhisperStream(self.model, self.tokenizer, settings, vad)

    def listen(self, blocks: Iterable[np.ndarray], **options: Any) -> Iterator[StreamUpdate]:
        """Transcribe audio as it arrives, until it ends; options are those of `stream`.

        Shapes: blocks [L] each, float at 16 kHz. Raises: what `stream` and its `feed` raise.
        """
        stream = self.stream(**options)
        for block in blocks:
            yield from stream.feed(block)
        yield stream.finish()

    def detect_language(self, audio: Audio) -> dict[str, float]:
        """Return the probability of each language from the first 30 seconds, the likeliest first.

        Shapes: audio, if an array, [L] float at 16 kHz. Raises: FormatError for audio that cannot be read.
        """
        transcription = self.segments(audio, language="en")  # any language, so that none is detected here
        first_window = transcription.encode(transcription.mel[:WINDOW_FRAMES])
        return detect_language(self.model, self.tokenizer, first_window)


def check_options(
    *, vad_filter: bool = False, batch_size: int = 1, vad_model: str | None = None, **options: Any
) -> TranscribeOptions:
    """Return the options of `transcribe`, checked; no model is needed.

    Raises: UsageError for an unknown option or value, and for options that contradict each other.
    """
    settings = transcribe_options(**options)
    if not 1 <= batch_size <= 1000:
        raise UsageError(f"batch_size is {batch_size}", fix="use 1 to 1000")
    if batch_size > 1 and settings.hallucination_silence_threshold is not None:
        raise UsageError("hallucination_silence_threshold re-decodes windows; it cannot be combined with batch_size")
    selects = settings.clip_timestamps != TranscribeOptions.clip_timestamps
    if selects and (vad_filter or batch_size > 1):
        raise UsageError(
            "clip_timestamps cannot be combined with vad_filter or batch_size", fix="each selects what to transcribe"
        )
    return settings


def transcribe_options(**options: Any) -> TranscribeOptions:
    """Sort one flat set of options, as users write them, into the two dataclasses.

    Raises: UsageError for an unknown option or value.
    """
    values = _normalized(options, _DECODING | _TRANSCRIBE)
    for name in ("temperature", "clip_timestamps"):
        if isinstance(values.get(name), (int, float)):
            values[name] = (float(values[name]),)
    decoding = DecodingOptions(**{name: values[name] for name in _DECODING & values.keys()})
    return TranscribeOptions(**{name: values[name] for name in _TRANSCRIBE & values.keys()}, decoding=decoding)


def stream_options(**options: Any) -> StreamOptions:
    """Sort one flat set of options for a stream into the two dataclasses.

    Raises: UsageError for an unknown option or value.
    """
    values = _normalized(options, _STREAM_DECODING | _STREAM)
    decoding = DecodingOptions(**{name: values[name] for name in _STREAM_DECODING & values.keys()})
    return StreamOptions(**{name: values[name] for name in _STREAM & values.keys()}, decoding=decoding)


def _normalized(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the options that are not None, lists as tuples and the language as its code; all must be in `names`."""
    if unknown := options.keys() - names:
        raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {', '.join(sorted(names))}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items() if value is not None
    }
    if "language" in values:
        values["language"] = language_code(values["language"])
    return values


def load(path: Path, *, dequantize: bool | None = None) -> WhisperPipeline:
    """Load a converted folder, or any checkpoint of the family; no convert step is needed."""
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        open_converted=open_release,  # the MLX community's folders lack some tensors and sizes
        dequantize=bool(dequantize),
        dtype_of=_dtype,
    )
    return WhisperPipeline(model)


def load_vad(source: str | None) -> VADPipeline:
    """Load the voice activity detector that `source` names; None is that family's default checkpoint."""
    return load_vad_from(locate(source, (VAD_CARD,)).path)


def _dtype(name: str, array: mx.array) -> mx.Dtype:
    """Return the dtype of a weight in memory: on a CPU float32, but the decoder's matrices as they are stored.

    Every token reads all of them. The CPU kernels widen float16 as they read: the same numbers, half the traffic.
    """
    is_matrix = name.startswith("decoder.") and array.ndim == 2 and not name.endswith("positional_embedding")
    return array.dtype if is_matrix and hasattr(kernels(), "linear") else compute_dtype(array.dtype)
