"""POST /v1/audio/transcriptions and /v1/audio/translations: a recording to text, as OpenAI's API has it."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..audio import wav
from ..errors import FormatError
from ..tasks import Segment, SpeechToText, Transcript
from ..text.subtitles import to_srt, to_vtt
from .context import Context
from .fields import Fields, event, read_form
from .http import event_response, first_of, while_connected
from .models import TRANSCRIPTION, Served
from .refusals import Refusal
from .worker import Job

SAMPLE_RATE = 16_000  # of what the models of this task take
FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
S_PER_SECOND = 0.2  # of work for each second of audio, before any was measured


@dataclass
class Recording:
    """What is known before the first segment; then the segments are added."""

    language: str
    language_name: str
    duration_s: float
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def usage(self) -> dict[str, Any]:
        return {"type": "duration", "seconds": math.ceil(self.duration_s)}


async def transcriptions(request: Request) -> Response:
    """Answer with what is said in `file`, in its language."""
    try:
        return await _answer(request, "transcribe")
    finally:
        await request.close()  # the file


async def translations(request: Request) -> Response:
    """Answer with what is said in `file`, in English."""
    try:
        return await _answer(request, "translate")
    finally:
        await request.close()


async def _answer(request: Request, task: str) -> Response:
    context = Context.of(request)
    fields = await read_form(request, max_files=1)
    model = context.catalogue.find(fields.text("model", longest=1000), TRANSCRIPTION)
    file = fields.file("file")
    if fields.text("response_format", longest=100, default="json") == "diarized_json":
        raise Refusal(400, "diarized_json: no model here tells speakers apart", "response_format")
    format = fields.choice("response_format", FORMATS, "json")
    times = fields.choices("timestamp_granularities", ("word", "segment"))
    if times and format != "verbose_json":
        raise Refusal(400, "timestamp_granularities needs response_format=verbose_json", "timestamp_granularities")
    has_events = fields.flag("stream")
    temperature = fields.number("temperature", default=0.0, low=0.0, high=1.0)
    options: dict[str, Any] = {
        "task": task,
        "language": _language(fields, task),
        "initial_prompt": fields.text("prompt", longest=10_000, default="") or None,
        "temperature": temperature or None,  # 0 is also OpenAI's default, with which it falls back to higher ones
        "word_timestamps": "word" in times,
    }
    fields.finish("include", "include[]", "chunking_strategy", "user")
    async with context.decoding:
        samples = await while_connected(request, _decode(file, context.limits.max_audio_s))
    pieces = context.worker.results(transcription_job(model, samples, **options))
    recording = await first_of(request, pieces)
    assert isinstance(recording, Recording)
    if has_events:
        return event_response(_events(recording, pieces))
    await while_connected(request, _collect(recording, pieces))
    return _render(recording, format, task, times)


def transcription_job(model: Served, samples: np.ndarray, **options: Any) -> Job:
    """Return the work of transcribing: its pieces are a Recording and then its segments.

    Shapes: samples float32 [L] at SAMPLE_RATE. options are those of `SpeechToText.segments`.
    """

    def start(pipeline: SpeechToText) -> Iterator[Recording | Segment]:
        transcription = pipeline.segments(samples, **options)
        yield Recording(transcription.language, transcription.language_name, transcription.duration_s)
        yield from transcription

    return Job(model.name, start, estimate_s=len(samples) / SAMPLE_RATE * S_PER_SECOND)


def _language(fields: Fields, task: str) -> str | None:
    language = fields.text("language", longest=40, default="").strip() or None
    return language if task == "transcribe" else None


async def _decode(file: UploadFile, max_audio_s: float) -> np.ndarray:
    """Return the samples of an upload, whose name says nothing. Shapes: -> float32 [L]. Raises: Refusal."""
    data = await file.read()
    await file.close()
    if not data:
        raise Refusal(400, "'file' is empty", "file")
    try:
        samples, _ = await asyncio.to_thread(wav.read, data, sample_rate=SAMPLE_RATE, max_seconds=max_audio_s)
    except FormatError as problem:
        raise Refusal(415, f"'file': {problem.what}", "file", "unsupported_format") from None
    if not len(samples):
        raise Refusal(400, "'file' holds no sound", "file")
    return samples


async def _collect(recording: Recording, pieces: AsyncGenerator[Any, None]) -> None:
    async with aclosing(pieces):
        async for segment in pieces:
            recording.segments.append(segment)


async def _events(recording: Recording, pieces: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for segment in pieces:
            text = segment.text if recording.segments else segment.text.lstrip()
            recording.segments.append(segment)
            if text:
                yield event({"type": "transcript.text.delta", "delta": text})
    yield event({"type": "transcript.text.done", "text": recording.text, "usage": recording.usage})


def _render(recording: Recording, format: str, task: str, times: list[str]) -> Response:
    transcript = Transcript(recording.text, recording.language, tuple(recording.segments))
    if format == "text":
        return PlainTextResponse(recording.text + "\n")
    if format == "srt":
        return PlainTextResponse(to_srt(transcript))
    if format == "vtt":
        return PlainTextResponse(to_vtt(transcript), media_type="text/vtt")
    if format == "json":
        return JSONResponse({"text": recording.text, "usage": recording.usage})
    answer: dict[str, Any] = {
        "task": task,
        "language": recording.language_name if task == "transcribe" else "english",
        "duration": recording.duration_s,
        "text": recording.text,
        "usage": recording.usage,
    }
    if "segment" in times or not times:
        answer["segments"] = [_segment(number, segment) for number, segment in enumerate(recording.segments)]
    if "word" in times:
        words = [word for segment in recording.segments for word in segment.words]
        answer["words"] = [{"word": w.text.strip(), "start": w.start_s, "end": w.end_s} for w in words]
    return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": 100 * int(segment.start_s),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }
