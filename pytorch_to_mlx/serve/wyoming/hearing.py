"""Wyoming's services that hear: a recording to text, words that wake, and where someone speaks."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np

from ..context import Context
from ..fields import Fields
from ..live import SAMPLE_RATE, Blocks, Live
from ..models import Served
from ..refusals import Refusal
from ..transcription import Recording, transcription_job
from .events import Send

MAX_AUDIO_S = 600.0  # of what is transcribed
REFRACTORY_S = 2.0  # between two detections of a word, as wyoming-openwakeword has it
MAX_NAMES = 10_000  # characters of the words that a client names


async def transcribe(send: Send, context: Context, fields: Fields, model: Served, blocks: Blocks) -> None:
    """Send what is said in the audio, once it has ended: segment by segment, and whole."""
    language = fields.text("language", longest=40, default="").partition("-")[0] or None
    names = [*sorted(names_of(fields, "transcript_names")), *sorted(names_of(fields, "transcript_terms"))]
    samples = await _gather(blocks, min(MAX_AUDIO_S, context.limits.max_audio_s))
    recording = Recording(language or "", "", 0.0)
    if len(samples):
        job = transcription_job(model, samples, language=language, initial_prompt=", ".join(names) or None)
        async with aclosing(context.worker.results(job)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Recording):
                    recording = piece
                    await send("transcript-start", language=recording.language)
                    continue
                recording.segments.append(piece)
                await send("transcript-chunk", text=piece.text)
    else:
        await send("transcript-start")
    await send("transcript", text=recording.text, **({"language": recording.language} if recording.language else {}))
    await send("transcript-stop")


async def detect_words(send: Send, context: Context, fields: Fields, model: Served, blocks: Blocks) -> None:
    """Send each word as soon as it is heard; and at the end, if there was none, that there was none."""
    labels = names_of(fields, "names") or set(model.labels)
    if unknown := labels.difference(model.labels):
        raise Refusal(400, f"there is no word '{min(unknown)[:100]}' here", "names", "model_not_found")
    n_detections = 0
    live = Live(context.worker, model.name, lambda pipeline: pipeline.stream(refractory_s=REFRACTORY_S))
    async for detections in _feed(live, blocks):
        for detection in detections:
            if detection.label in labels:
                n_detections += 1
                await send("detection", name=detection.label, timestamp=_time_ms(blocks, detection.time_s))
    if not n_detections:
        await send("not-detected")


async def detect_voice(send: Send, context: Context, model: Served, blocks: Blocks) -> None:
    """Send where speech starts and where it stops."""
    live = Live(context.worker, model.name, lambda pipeline: pipeline.stream())
    async for boundaries in _feed(live, blocks, has_end=True):
        for boundary in boundaries:
            type = "voice-started" if boundary.kind == "start" else "voice-stopped"
            await send(type, timestamp=_time_ms(blocks, boundary.time_s))


async def _feed(live: Live, blocks: Blocks, *, has_end: bool = False) -> AsyncIterator[list[Any]]:
    """Yield what a stream says of the audio. has_end: it has more to say at the end."""
    try:
        while (samples := await blocks.take()) is not None:
            yield await live.use(lambda stream, samples=samples: stream.feed(samples))
        if has_end:
            yield await live.use(lambda stream: stream.finish())
    finally:
        live.close()


async def _gather(blocks: Blocks, max_s: float) -> np.ndarray:
    """Return all audio. Shapes: -> float32 [L]. Raises: Refusal if it is longer than max_s."""
    parts: list[np.ndarray] = []
    n_samples = 0
    while (samples := await blocks.take()) is not None:
        parts.append(samples)
        n_samples += len(samples)
        if n_samples > max_s * SAMPLE_RATE:
            raise Refusal(413, f"the audio is longer than {max_s:g} s")
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def names_of(fields: Fields, name: str) -> set[str]:
    """Return the names that a field of an event lists. Raises: Refusal."""
    texts = fields.texts(name, longest=MAX_NAMES)
    return {text for text in ([texts] if isinstance(texts, str) else texts) if text}


def _time_ms(blocks: Blocks, time_s: float) -> int:
    """Return a time of the stream by the clock of the client's audio."""
    return round(blocks.start_ms + 1000 * time_s)
