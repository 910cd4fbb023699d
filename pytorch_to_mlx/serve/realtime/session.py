"""One session: audio comes in, words go out as soon as they are certain, item by item.

What the client asks for is done in the order in which it came: audio that waits is heard all at once, so that a slow
machine keeps up.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import numpy as np

from ...cancel import Cancelled
from ...errors import PortError
from ..context import Context
from ..live import SAMPLE_RATE, Incoming, Live
from ..refusals import Refusal, answer_to
from ..transcription import S_PER_SECOND
from .settings import RATES, Settings

MAX_BEHIND_BYTES = 5 * 60 * 24_000 * 2  # of audio that waits: five minutes
MAX_EVENTS = 1000  # that wait
HELD_S = 1.0  # of silence, and the padding, that is kept because speech may begin in it

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Overflow(Exception):
    """More waits than a session may hold."""


class Item:
    """One stretch of audio that becomes one transcript. text: of it so far."""

    def __init__(self, stream: Live) -> None:
        self.identity = _identity("item")
        self.stream = stream
        self.text = ""
        self.n_samples = 0


class Session:
    """What one client hears. send: takes an event, without its event_id."""

    def __init__(self, context: Context, settings: Settings, send: Send) -> None:
        self.identity = _identity("sess")
        self._context, self._settings, self._send = context, settings, send
        self._waiting: deque[bytes | dict[str, Any]] = deque()
        self._changed = asyncio.Event()
        self._previous: str | None = None  # item
        self._is_speaking = False
        self._held = np.zeros(0, np.float32)  # audio that was heard by the detector alone
        self._held_at = 0  # in samples of the session
        self._detector: Live | None = None
        self._apply(settings)
        self._item = self._new_item()

    def put(self, event: dict[str, Any]) -> None:
        """Add an event, or the audio of one. Raises: Overflow, and Refusal for audio that is not base64."""
        if event.get("type") == "input_audio_buffer.append":
            self._waiting.append(_audio_of(event))
        else:
            self._waiting.append(event)
        n_bytes = sum(len(item) for item in self._waiting if isinstance(item, bytes))
        if n_bytes > MAX_BEHIND_BYTES or len(self._waiting) > MAX_EVENTS:
            raise Overflow
        self._changed.set()

    async def run(self) -> None:
        """Do what comes until this is cancelled; a problem is told, and the session goes on."""
        await self._tell("session.created", session=self._settings.describe(self.identity))
        try:
            while True:
                event = await self._take()
                try:
                    await (self._hear(event) if isinstance(event, bytes) else self._handle(event))
                except (Refusal, PortError, Cancelled) as problem:
                    await self.tell_error(problem, event)
        finally:
            self._close()

    async def tell_error(self, problem: BaseException, event: Any = None) -> None:
        """Send OpenAI's event of an error, with the id of the client's event that it is about."""
        identity = event.get("event_id") if isinstance(event, dict) else None
        error = answer_to(problem).body()["error"]
        await self._tell("error", error={**error, "event_id": identity if isinstance(identity, str) else None})

    async def _take(self) -> bytes | dict[str, Any]:
        """Return the next event, or all audio up to it."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        parts: list[bytes] = []
        while self._waiting and isinstance(first := self._waiting[0], bytes):
            parts.append(first)
            self._waiting.popleft()
        if parts:
            return b"".join(parts)
        event = self._waiting.popleft()
        assert isinstance(event, dict)
        return event

    async def _handle(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "session.update":
                self._apply(self._settings.update(event.get("session"), self._context.catalogue))
                if not self._item.n_samples:
                    self._item.stream.close()
                    self._item = self._new_item()
                await self._tell("session.updated", session=self._settings.describe(self.identity))
            case "input_audio_buffer.commit":
                if self._detector is None:  # else the audio goes on, and what the resampler holds belongs to it
                    await self._transcribe(self._incoming.feed(b"", is_last=True))
                    self._incoming = _incoming(self._settings)
                if not self._item.n_samples:
                    code = "input_audio_buffer_commit_empty"
                    raise Refusal(400, "there is no audio to commit", code=code)
                await self._commit()
            case "input_audio_buffer.clear":
                self._item.stream.close()
                self._apply(self._settings)
                self._item = self._new_item()
                await self._tell("input_audio_buffer.cleared")
            case _:
                raise Refusal(400, "this event is not served: a session here transcribes", "type")

    def _apply(self, settings: Settings) -> None:
        """Begin anew to hear, by these settings; the item that was begun keeps its own."""
        self._incoming = _incoming(settings)
        if self._detector is not None:
            self._detector.close()
            self._detector = None
        if (turns := settings.turns) is not None:
            self._detector = Live(self._context.worker, turns.model, lambda pipeline: pipeline.stream(**turns.options))
        self._settings = settings
        self._held_at += len(self._held)
        self._held, self._detector_at, self._is_speaking = np.zeros(0, np.float32), self._held_at, False

    def _new_item(self) -> Item:
        options = self._settings.options
        worker, name = self._context.worker, self._settings.model.name
        return Item(Live(worker, name, lambda pipeline: pipeline.stream(**options), is_brief=False))

    async def _hear(self, data: bytes) -> None:
        samples = self._incoming.feed(data)
        self._held = np.concatenate([self._held, samples])
        end = self._held_at + len(self._held)
        if self._detector is None:
            await self._transcribe(self._pass_on(end))
            return
        for boundary in await self._detector.use(lambda stream: stream.feed(samples)):
            at = min(end, max(self._held_at, self._detector_at + round(boundary.time_s * SAMPLE_RATE)))
            if boundary.kind == "start":
                self._pass_on(at)
                self._is_speaking = True
                await self._tell_item("input_audio_buffer.speech_started", audio_start_ms=_ms(at))
            else:
                await self._transcribe(self._pass_on(at))
                self._is_speaking = False
                await self._tell_item("input_audio_buffer.speech_stopped", audio_end_ms=_ms(at))
                await self._commit()
        if self._is_speaking:
            await self._transcribe(self._pass_on(end))
        elif self._settings.turns is not None:
            held_s = HELD_S + self._settings.turns.prefix_padding_ms / 1000
            self._pass_on(end - round(held_s * SAMPLE_RATE))

    def _pass_on(self, at: int) -> np.ndarray:
        """Return the audio before a position, which is held no longer. Shapes: -> float32 [L]."""
        n_samples = max(0, at - self._held_at)
        samples, self._held = self._held[:n_samples], self._held[n_samples:].copy()
        self._held_at += len(samples)
        return samples

    async def _transcribe(self, samples: np.ndarray) -> None:
        """Add audio to the item, and tell the words that it makes certain."""
        if not len(samples):
            return
        item = self._item
        item.n_samples += len(samples)
        seconds = len(samples) / SAMPLE_RATE
        for update in await item.stream.use(lambda s: s.feed(samples), estimate_s=seconds * S_PER_SECOND):
            await self._tell_words(item, update.text)

    async def _commit(self) -> None:
        """End the item: tell the rest of its words, and the whole."""
        item, self._item = self._item, self._new_item()
        message = {
            "id": item.identity,
            "object": "realtime.item",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        order = {"previous_item_id": self._previous}
        await self._tell("input_audio_buffer.committed", item_id=item.identity, **order)
        await self._tell("conversation.item.created", item=message, **order)
        self._previous = item.identity
        about = {"item_id": item.identity, "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        try:
            if item.n_samples:
                await self._tell_words(item, (await item.stream.use(lambda stream: stream.finish())).text)
            usage = {"type": "duration", "seconds": round(item.n_samples / SAMPLE_RATE, 3)}
            await self._tell(f"{kind}.completed", **about, transcript=item.text.strip(), usage=usage)
        except (Refusal, PortError, Cancelled) as problem:
            await self._tell(f"{kind}.failed", **about, error=answer_to(problem).body()["error"])
        finally:
            item.stream.close()

    async def _tell_words(self, item: Item, text: str) -> None:
        text = text if item.text else text.lstrip()
        if text:
            item.text += text
            about = {"item_id": item.identity, "content_index": 0}
            await self._tell("conversation.item.input_audio_transcription.delta", **about, delta=text)

    async def _tell_item(self, type: str, **data: Any) -> None:
        await self._tell(type, item_id=self._item.identity, **data)

    async def _tell(self, type: str, **data: Any) -> None:
        await self._send({"type": type, "event_id": _identity("event"), **data})

    def _close(self) -> None:
        self._item.stream.close()
        if self._detector is not None:
            self._detector.close()


def _incoming(settings: Settings) -> Incoming:
    return Incoming(RATES[settings.format], encoding=settings.format.removeprefix("audio/"))


def _audio_of(event: dict[str, Any]) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(event.get("audio", ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Refusal(400, "'audio' must be base64", "audio") from None


def _identity(kind: str) -> str:
    return f"{kind}_{uuid4().hex}"


def _ms(position: int) -> int:
    return round(1000 * position / SAMPLE_RATE)
