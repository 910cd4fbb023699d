"""One connection of Wyoming: its events choose what to do, and what they choose runs beside the reading of more."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from ..context import Context
from ..fields import Fields
from ..live import Blocks, Incoming
from ..models import ACTIVITY, KEYWORDS, TRANSCRIPTION, Served
from ..refusals import Refusal, answer_to
from .events import Event, Send, read_event
from .hearing import detect_voice, detect_words, names_of, transcribe
from .info import describe
from .speaking import Sentences, choose_speaker, speak

IDLE_S = 600.0  # the longest wait for an event
SLOW_S = 120.0  # the longest wait for a client that does not read
LINGER_S = 2.0  # in which a client reads what was wrong
_log = logging.getLogger(__name__)


class Connection:
    """A client: one thing at a time is done for it, in the order of its events."""

    def __init__(self, context: Context, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.context = context
        self._reader, self._writer = reader, writer
        self._work: asyncio.Task[None] | None = None
        self._is_over = False
        self._program = ""  # the model that the client selected
        self._request = Event("")  # what to do with audio: transcribe or detect
        self._incoming: Incoming | None = None
        self._format: tuple[Any, ...] = ()
        self._blocks: Blocks | None = None
        self._sentences: Sentences | None = None

    @property
    def work(self) -> "asyncio.Task[None] | None":
        """Return what is being done, if it will end without more of the client's events."""
        is_waiting = self._blocks is not None or self._sentences is not None
        return None if is_waiting else self._work

    async def run(self) -> None:
        """Answer the events until the client leaves, which cancels what is done for it."""
        try:
            [problem] = await asyncio.gather(self._answer(), return_exceptions=True)
            await self._cancel_work()
            await self._end_with(problem)
        finally:
            await self._cancel_work()
            await self._close()

    async def refuse(self, problem: Refusal) -> None:
        """Tell why nothing is done for this client, and end the connection once that is read."""
        await self._end_with(problem)
        await self._close()

    async def _answer(self) -> None:
        while (event := await self._next()) is not None and not self._is_over:
            await self._handle(event)

    async def send(self, type: str, payload: bytes = b"", /, **data: Any) -> None:
        """Send an event, as Send."""
        self._writer.write(Event(type, data, payload).encode())
        async with asyncio.timeout(SLOW_S):
            await self._writer.drain()

    async def _next(self) -> Event | None:
        async with asyncio.timeout(IDLE_S):
            return await read_event(self._reader)

    async def _handle(self, event: Event) -> None:
        fields = Fields(event.data)
        match event.type:
            case "describe":
                await self.send("info", **describe(self.context.catalogue))
            case "ping":
                await self.send("pong", text=fields.text("text", longest=1000, default=""))
            case "select-program":
                self._program = fields.text("name", longest=1000)
            case "transcribe" | "detect":
                self._request = event
            case "audio-start":
                await self._begin_audio()
            case "audio-chunk":
                await self._add_audio(fields, event.payload)
            case "audio-stop":
                await self._end_audio()
            case "synthesize" if self._sentences is None:  # else the whole text again, for servers that do not stream
                await self._begin_speech(event, is_stream=False)
            case "synthesize-start" if self._sentences is None:
                await self._begin_speech(event, is_stream=True)
            case "synthesize-chunk" if self._sentences is not None:
                self._sentences.add(fields.text("text", longest=self.context.limits.max_characters, default=""))
            case "synthesize-stop" if self._sentences is not None:
                self._sentences.end()
                self._sentences = None

    async def _begin_speech(self, event: Event, *, is_stream: bool) -> None:
        fields, longest = Fields(event.data), self.context.limits.max_characters
        if fields.text("text_format", longest=100, default="text") != "text":
            raise Refusal(400, "plain text is taken, no SSML", "text_format")
        model, voice = choose_speaker(self.context, event.data.get("voice"), self._program)
        sentences = Sentences(longest)
        if is_stream:
            self._sentences = sentences
        else:
            sentences.add_whole(fields.text("text", longest=longest))
        await self._begin(partial(_speech, self.send, self.context, model, voice, sentences, is_stream=is_stream))

    async def _begin_audio(self) -> None:
        await self._end_audio_if_open()
        self._incoming, self._format, self._blocks = None, (), Blocks()
        await self._begin(self._hear(self._blocks))

    def _hear(self, blocks: Blocks) -> "partial[Coroutine[Any, Any, None]]":
        """Return what hears the audio: as was asked for, else by the selected model, else the first that hears."""
        models, fields = self.context.catalogue, Fields(self._request.data)
        asked = {"transcribe": TRANSCRIPTION, "detect": KEYWORDS}.get(self._request.type)
        tasks = (asked,) if asked else (TRANSCRIPTION, KEYWORDS, ACTIVITY)
        choices = [model for task in tasks for model in models.of_task(task)]
        choices.sort(key=lambda model: model.name != self._program)
        if not choices:
            raise Refusal(400, "there is no model here that hears this", code="model_not_found")
        model = choices[0]
        if model.task == TRANSCRIPTION:
            if name := fields.text("name", longest=1000, default=""):
                model = models.find(name, TRANSCRIPTION)
            return partial(transcribe, self.send, self.context, fields, model, blocks)
        if model.task == KEYWORDS:
            names = names_of(fields, "names")
            model = max(
                (model for model in choices if model.task == KEYWORDS), key=lambda model: len(names & {*model.labels})
            )
            return partial(detect_words, self.send, self.context, fields, model, blocks)
        return partial(detect_voice, self.send, self.context, model, blocks)

    async def _add_audio(self, fields: Fields, payload: bytes) -> None:
        if self._blocks is None:
            await self._begin_audio()
        assert self._blocks is not None
        rate, width, channels = (
            fields.number(name, default=default, low=1, high=1 << 20)
            for name, default in (("rate", 16_000), ("width", 2), ("channels", 1))
        )
        if width != 2:
            raise Refusal(400, "samples of 16 bits are taken", "width")
        if self._incoming is None:
            self._incoming, self._format = Incoming(int(rate), int(channels)), (rate, channels)
            self._blocks.start_ms = fields.number("timestamp", default=0, low=0, high=2**53)
        elif self._format != (rate, channels):
            raise Refusal(400, "the audio changes its format on the way", "rate")
        self._blocks.put(self._incoming.feed(payload))

    async def _end_audio(self) -> None:
        """End the audio; where there was none at all, that is answered too."""
        if self._blocks is None:
            await self._begin_audio()
        await self._end_audio_if_open()

    async def _end_audio_if_open(self) -> None:
        if self._blocks is not None:
            if self._incoming is not None:
                self._blocks.put(self._incoming.feed(b"", is_last=True))
            self._blocks.end()
            self._blocks = None

    async def _begin(self, work: "partial[Coroutine[Any, Any, None]]") -> None:
        """Begin something once what was before it has ended."""
        if self._work is not None:
            await self._work
        self._work = asyncio.create_task(self._guarded(work))

    async def _guarded(self, work: "partial[Coroutine[Any, Any, None]]") -> None:
        """Do the work; a problem is told to the client and ends the connection."""
        started, outcome = monotonic(), "cancelled"
        try:
            [problem] = await asyncio.gather(work(), return_exceptions=True)
            outcome = "done" if problem is None else "failed"
            await self._end_with(problem)
        finally:
            seconds = round(monotonic() - started, 3)
            _log.info("wyoming", extra={"work": work.func.__name__, "outcome": outcome, "seconds": seconds})

    async def _cancel_work(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _end_with(self, problem: BaseException | None) -> None:
        """Tell a problem, if there is one, and end the connection once that is read: a reset would lose it."""
        if problem is None or self._is_over:
            return
        if isinstance(problem, (ConnectionError, TimeoutError)):
            self._writer.transport.abort()
            return
        self._is_over = True
        refusal = answer_to(problem)
        with suppress(ConnectionError, TimeoutError):
            await self.send("error", text=refusal.message, code=refusal.code or refusal.kind)
            self._writer.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self._writer.transport.abort)

    async def _close(self) -> None:
        with suppress(ConnectionError):
            while self._is_over and await self._reader.read(1 << 16):
                pass  # what it had sent before it read the error
        self._writer.close()
        try:
            async with asyncio.timeout(SLOW_S):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()


async def _speech(
    send: Send, context: Context, model: Served, voice: str | None, sentences: Sentences, *, is_stream: bool
) -> None:
    """Speak, and end the answer to a text that arrived in pieces."""
    await speak(send, context, model, voice, sentences)
    if is_stream:
        await send("synthesize-stopped")
