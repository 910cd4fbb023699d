"""From audio to a transcript."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.load import Audio, load_audio
from ...backend.dtype import compute_dtype
from ...backend.native import kernels
from ...checkpoint import locate
from ...errors import UsageError
from ...tasks import Transcript
from ...weights import load_model
from ..vad.card import CARD as VAD_CARD
from ..vad.pipeline import VADPipeline
from ..vad.pipeline import load as load_vad_from
from .batched import BatchedTranscription
from .config import Config
from .decoding import DecodingOptions, detect_language
from .model import Model
from .speech_only import FILTER, WINDOWS, FilteredTranscription, SpeechOnly, speech_windows
from .stream import StreamOptions, StreamUpdate, WhisperStream
from .tokenizer import Tokenizer, language_code
from .transcribe import FRAMES_PER_SECOND, SAMPLE_RATE, WINDOW_FRAMES, TranscribeOptions, Transcription
from .weights import WEIGHTS, open_release

_DECODING = {field.name for field in fields(DecodingOptions)} - {"temperature", "prompt", "best_of"}
_STREAM = {field.name for field in fields(StreamOptions)} - {"decoding"}
PAUSE_MS = 500  # silence after which a stream takes what was said as complete
_TRANSCRIBE = {field.name for field in fields(TranscribeOptions)} - {"decoding"}


class WhisperPipeline:
    """A loaded Whisper: `transcribe` for a whole recording, `segments` to get them as they are found."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.tokenizer = Tokenizer.for_vocab(model._config.n_vocab)

    def transcribe(self, audio: Audio, **options: Any) -> Transcript:
        """Transcribe a file, its bytes, or samples; options are those of TranscribeOptions and DecodingOptions.

        vad_filter: leave out what vad_model does not take for speech. batch_size: windows of speech to decode together.
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
        """The transcription as an iterator over segments; its `language` and `duration_s` are known at once."""
        chosen = transcribe_options(**options)
        samples = load_audio(audio, SAMPLE_RATE)
        if not vad_filter and batch_size == 1:
            return Transcription(self.model, self.tokenizer, mx.array(samples), chosen)
        if chosen.clip_timestamps != TranscribeOptions.clip_timestamps:
            raise UsageError(
                "clip_timestamps and vad_filter or batch_size both say what to hear", fix="use one of them"
            )
        found = load_vad(vad_model).detect(samples, **(FILTER if batch_size == 1 else WINDOWS)).segments
        if batch_size == 1:
            speech = SpeechOnly(samples, found, SAMPLE_RATE)
            return FilteredTranscription(self.model, self.tokenizer, speech, chosen)
        windows = speech_windows(found, WINDOW_FRAMES / FRAMES_PER_SECOND)
        return BatchedTranscription(self.model, self.tokenizer, mx.array(samples), chosen, windows, batch_size)

    def stream(self, *, vad_filter: bool = False, vad_model: str | None = None, **options: Any) -> WhisperStream:
        """A stream that is fed pieces of audio; options are those of StreamOptions and DecodingOptions.

        vad_filter: the model runs only where vad_model hears speech, and a pause commits what was said.
        """
        chosen = stream_options(**options)
        voice = load_vad(vad_model).stream(min_silence_duration_ms=PAUSE_MS) if vad_filter else None
        return WhisperStream(self.model, self.tokenizer, chosen, voice)

    def listen(self, blocks: Iterable[np.ndarray], **options: Any) -> Iterator[StreamUpdate]:
        """Transcribe audio as it comes, until it ends; options are those of `stream`.

        Shapes: blocks [L] each, float at 16 kHz.
        """
        stream = self.stream(**options)
        for block in blocks:
            yield from stream.feed(block)
        yield stream.finish()

    def detect_language(self, audio: Audio) -> dict[str, float]:
        """Probabilities of the languages of the first 30 seconds, the likeliest first."""
        running = self.segments(audio, language="en")
        return detect_language(self.model, self.tokenizer, running.encode(running.mel[:3000]))


def transcribe_options(**options: Any) -> TranscribeOptions:
    """One flat set of options, as users write them, in the two dataclasses."""
    unknown = options.keys() - _DECODING - _TRANSCRIBE
    if unknown:
        known = ", ".join(sorted(_DECODING | _TRANSCRIBE))
        raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {known}")
    given = {name: value for name, value in options.items() if value is not None}
    if "language" in given:
        given["language"] = language_code(given["language"])
    for name in ("temperature", "clip_timestamps"):
        if isinstance(given.get(name), (int, float)):
            given[name] = (float(given[name]),)
    decoding = DecodingOptions(**{name: given[name] for name in _DECODING & given.keys()})
    return replace(TranscribeOptions(**{name: given[name] for name in _TRANSCRIBE & given.keys()}), decoding=decoding)


def stream_options(**options: Any) -> StreamOptions:
    """One flat set of options for a stream; the decoder's that a stream settles itself are not among them."""
    own = _DECODING - {"prefix", "without_timestamps", "suppress_blank", "sample_len", "max_initial_timestamp"}
    if unknown := options.keys() - own - _STREAM:
        raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {', '.join(sorted(own | _STREAM))}")
    given = {name: value for name, value in options.items() if value is not None}
    if "language" in given:
        given["language"] = language_code(given["language"])
    decoding = DecodingOptions(**{name: given[name] for name in own & given.keys()})
    return StreamOptions(**{name: given[name] for name in _STREAM & given.keys()}, decoding=decoding)


def load(path: Path, *, dequantize: bool | None = None) -> WhisperPipeline:
    """Load a converted folder, or any checkpoint of the family."""
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        weight_map=WEIGHTS,
        open_release=open_release,
        open_converted=open_release,  # the MLX community's folders leave things out
        dequantize=bool(dequantize),
        dtype_of=_dtype,
    )
    return WhisperPipeline(model)


def load_vad(source: str | None) -> VADPipeline:
    """Load the voice activity detector that `source` names; None is the family's default."""
    return load_vad_from(locate(source, (VAD_CARD,)).path)


def _dtype(name: str, array: mx.array) -> mx.Dtype:
    """What a weight is kept in: on a CPU float32, but the decoder's matrices as they are stored.

    Every token reads all of them. The CPU kernels widen halves as they read: the same numbers, half the traffic.
    """
    matrix = name.startswith("decoder.") and array.ndim == 2 and not name.endswith("positional_embedding")
    return array.dtype if matrix and hasattr(kernels(), "linear") else compute_dtype(array.dtype)
