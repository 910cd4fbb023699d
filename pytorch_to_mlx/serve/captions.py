"""Routes of Kokoro-FastAPI: speech with the times of its words, phonemes of a text, and speech of phonemes.

Its clients name no model and no voice where they mean the default ones. Links to download are not made.
"""

import base64
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..tasks import PhoneticNarrator, Speech
from .context import Context
from .fields import Fields, read_json
from .http import PiecewiseResponse, first_of, while_connected
from .models import ALIASES, SPEECH, Served, choose_voice
from .refusals import Refusal
from .speech import MEDIA_TYPES, S_PER_CHARACTER, Order, begin, encode_all, only_bytes, speech_job
from .worker import Job

MODEL = ALIASES[SPEECH][0]  # the first that speaks


async def captioned_speech(request: Request) -> Response:
    """Answer with the sound in base64 and its words, whole or, as is the default, a line of JSON for each piece."""
    context = Context.of(request)
    fields = await read_json(request)
    order = Order.of(context, fields, model=MODEL, voice="")
    has_times = fields.flag("return_timestamps", default=True)
    order.finish(fields)
    first, pieces = await begin(request, speech_job(order.model, order.text, **order.options))
    captions = _captions(order, encode_all(order, first, pieces), has_times=has_times)
    if order.options["stream"]:
        return PiecewiseResponse(_lines(captions), "application/json")
    return JSONResponse(await while_connected(request, _whole(order, captions)))


async def _captions(
    order: Order, sound: AsyncGenerator[tuple[bytes, Speech | None], None], *, has_times: bool
) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
    """Yield bytes, and what is said of them; words wait for bytes where an encoder holds them back."""
    words: list[dict[str, Any]] = []
    async with aclosing(sound):
        async for data, piece in sound:
            for word in piece.words if piece else ():
                words.append({"word": word.text, "start_time": word.start_s, "end_time": word.end_s})
            if data or (words and piece is None):
                times = words if has_times else None
                yield data, {"audio_format": MEDIA_TYPES[order.format], "timestamps": times}
                words = []


async def _lines(captions: AsyncGenerator[tuple[bytes, dict[str, Any]], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(captions):
        async for data, caption in captions:
            yield json.dumps({"audio": base64.b64encode(data).decode(), **caption}).encode() + b"\n"


async def _whole(order: Order, captions: AsyncGenerator[tuple[bytes, dict[str, Any]], None]) -> dict[str, Any]:
    parts: list[tuple[bytes, dict[str, Any]]] = []
    async with aclosing(captions):
        async for part in captions:
            parts.append(part)
    times = [caption["timestamps"] for _, caption in parts]
    return {
        "audio": base64.b64encode(b"".join(data for data, _ in parts)).decode(),
        "audio_format": MEDIA_TYPES[order.format],
        "timestamps": None if None in times else [word for words in times for word in words],
    }


async def phonemize(request: Request) -> Response:
    """Answer with the phonemes of `text`; `tokens` is empty, as Kokoro-FastAPI's is."""
    context = Context.of(request)
    fields = await read_json(request)
    model = _phonetic(context, fields)
    text = fields.text("text", longest=context.limits.max_characters)
    code = fields.text("language", longest=40, default="a")
    fields.finish()
    if not text.strip():
        raise Refusal(400, "'text' is empty", "text")

    def start(pipeline: PhoneticNarrator) -> Iterator[str]:
        return pipeline.phonemize(text, lang_code=code)

    pieces = context.worker.results(Job(model.name, start, estimate_s=len(text) * S_PER_CHARACTER))
    parts = [await first_of(request, pieces) or ""]

    async def collect() -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                parts.append(piece)

    await while_connected(request, collect())
    return JSONResponse({"phonemes": " ".join(part for part in parts if part), "tokens": []})


async def generate_from_phonemes(request: Request) -> Response:
    """Answer with the sound of `phonemes` as a WAV file, piece by piece."""
    context = Context.of(request)
    fields = await read_json(request)
    model = _phonetic(context, fields)
    phonemes = fields.text("phonemes", longest=context.limits.max_characters)
    voice = choose_voice(model, fields.voice("voice"))
    fields.finish()
    options = {"voice": voice, "stream": True}
    first, pieces = await begin(request, speech_job(model, phonemes, is_phonemes=True, **options))
    order = Order(model, phonemes, "wav", 1.0, options)
    return PiecewiseResponse(only_bytes(encode_all(order, first, pieces)), MEDIA_TYPES["wav"])


def _phonetic(context: Context, fields: Fields) -> Served:
    model = context.catalogue.find(fields.text("model", longest=1000, default=MODEL), SPEECH)
    if not model.takes_phonemes:
        raise Refusal(400, f"'{model.name}' takes no phonemes", "model")
    return model
