"""POST /v1/audio/speech: a text to sound, as OpenAI's API has it, sent while it is being made."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from ..audio.encoder import StreamEncoder
from ..tasks import MAX_SPEED, MIN_SPEED, Speech
from .context import Context
from .fields import Fields, event, read_json
from .http import PiecewiseResponse, event_response, first_of
from .models import SPEECH, Served, choose_voice
from .refusals import Refusal
from .worker import Job

MEDIA_TYPES = {
    "mp3": "audio/mpeg", "opus": "audio/opus", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}  # fmt: skip
PCM_RATE = 24_000  # Hz; clients take it for granted
S_PER_CHARACTER = 0.02  # of work, before any was measured: 15 characters a second, 0.3 s of work for each
SAMPLES_PER_TOKEN = 1200  # of what `usage` reports: 50 ms


@dataclass(frozen=True)
class Order:
    """What a request asks for. options: of `Narrator.generate`."""

    model: Served
    text: str
    format: str
    volume: float
    options: Mapping[str, Any]

    @classmethod
    def of(cls, context: Context, fields: Fields, *, model: str | None = None, voice: str | None = None) -> "Order":
        """Read the fields that all routes of speech have; model, voice: their defaults. Raises: Refusal."""
        served = context.catalogue.find(fields.text("model", longest=1000, default=model), SPEECH)
        text = fields.text("input", longest=context.limits.max_characters)
        if not text.strip():
            raise Refusal(400, "'input' is empty", "input")
        name = fields.voice("voice", default=voice)
        options = {
            "voice": choose_voice(served, name) if name or voice is None else None,
            "speed": fields.number("speed", default=1.0, low=MIN_SPEED, high=MAX_SPEED),
            "lang_code": fields.text("lang_code", longest=40, default="") or None,
            "seed": int(fields.number("seed", default=0, low=0, high=2**32)),
            "stream": fields.flag("stream", default=True),
        }
        if fields.text("response_format", longest=100, default="mp3") == "aac":
            raise Refusal(400, f"aac is not written; there are {', '.join(MEDIA_TYPES)}", "response_format")
        format = fields.choice("response_format", tuple(MEDIA_TYPES), "mp3")
        volume = fields.number("volume_multiplier", default=1.0, low=0.0, high=10.0)
        for name in ("ref_audio", "ref_text"):
            fields.refuse(name, "the voices of this server are those that /v1/audio/voices lists")
        return cls(served, text, format, volume, options)

    def finish(self, fields: Fields) -> None:
        """Log the fields that nobody read."""
        fields.finish("instructions", "return_download_link", "normalization_options", "user")


async def speech(request: Request) -> Response:
    """Answer with the sound of `input`, piece by piece; the status tells whether the first piece could be made."""
    context = Context.of(request)
    fields = await read_json(request)
    order = Order.of(context, fields)
    has_events = fields.choice("stream_format", ("audio", "sse"), "audio") == "sse"
    order.finish(fields)
    first, pieces = await begin(request, speech_job(order.model, order.text, **order.options))
    sound = encode_all(order, first, pieces)
    if has_events:
        return event_response(_events(sound, n_input=len(order.text)))
    return PiecewiseResponse(only_bytes(sound), MEDIA_TYPES[order.format])


async def begin(request: Request, job: Job) -> tuple[Speech, AsyncGenerator[Speech, None]]:
    """Return the first piece of speech and the rest. Raises: Refusal if there is none, and what the job raises."""
    pieces = Context.of(request).worker.results(job)
    first = await first_of(request, pieces)
    if first is None:
        raise Refusal(400, "nothing in this text can be spoken", "input")
    return first, pieces


def speech_job(model: Served, text: str, *, is_phonemes: bool = False, **options: Any) -> Job:
    """Return the work of speaking a text, whose pieces are Speech; options are those of `Narrator.generate`."""

    def start(pipeline: Any) -> Iterator[Speech]:
        return pipeline.generate(phonemes=text, **options) if is_phonemes else pipeline.generate(text, **options)

    return Job(model.name, start, estimate_s=len(text) * S_PER_CHARACTER)


async def encode_all(
    order: Order, first: Speech, rest: AsyncGenerator[Speech, None]
) -> AsyncGenerator[tuple[bytes, Speech | None], None]:
    """Yield the bytes of the sound as they are ready, each with the speech that made them so; at the end with None."""
    async with aclosing(rest):
        encoder = await asyncio.to_thread(_Encoder, order.model.sample_rate, order.format, order.volume)
        yield await asyncio.to_thread(encoder.encode, first.audio), first
        async for piece in rest:
            yield await asyncio.to_thread(encoder.encode, piece.audio), piece
        yield await asyncio.to_thread(encoder.finish), None


async def only_bytes(sound: AsyncGenerator[tuple[bytes, Speech | None], None]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes that are not empty."""
    async with aclosing(sound):
        async for data, _ in sound:
            if data:
                yield data


async def _events(
    sound: AsyncGenerator[tuple[bytes, Speech | None], None], *, n_input: int
) -> AsyncGenerator[bytes, None]:
    """Yield the sound as OpenAI's events; the tokens of their `usage` are characters and stretches of 50 ms."""
    n_samples = 0
    async with aclosing(sound):
        async for data, piece in sound:
            n_samples += len(piece.audio) if piece else 0
            if data:
                yield event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
    n_output = -(-n_samples // SAMPLES_PER_TOKEN)
    usage = {"input_tokens": n_input, "output_tokens": n_output, "total_tokens": n_input + n_output}
    yield event({"type": "speech.audio.done", "usage": usage})


class _Encoder:
    """The bytes of one answer: louder or softer, as raw samples at PCM_RATE, else at the rate of the model."""

    def __init__(self, sample_rate: int, format: str, volume: float) -> None:
        self._volume, self._resampler = volume, None
        if format == "pcm" and sample_rate != PCM_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(sample_rate, PCM_RATE, 1, dtype="float32", quality="HQ")
        self._stream = StreamEncoder(sample_rate, "raw" if format == "pcm" else format)

    def encode(self, audio: np.ndarray) -> bytes:
        """Return the bytes that more audio makes ready. Shapes: audio float32 [L]."""
        audio = np.clip(audio * np.float32(self._volume), -1, 1)
        return self._stream.encode(self._resampler.resample_chunk(audio) if self._resampler else audio)

    def finish(self) -> bytes:
        """Return the bytes of the end."""
        last = b""
        if self._resampler:
            last = self._stream.encode(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        return last + self._stream.finish()
