"""What the routes share: waiting for work while the client is there, and answers in pieces."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .fields import event
from .refusals import answer_to
from .worker import END

T = TypeVar("T")
PING_S = 15.0  # between comments in a stream of events, so that no proxy takes it for dead


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives, or cancel it if the client leaves before. The body must have been read.

    Raises: ClientDisconnect, and what `work` raises.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def first_of(request: Request, pieces: AsyncGenerator[T, None]) -> T | None:
    """Return the first piece, None if there is none; what was wrong is known before the answer begins.

    The pieces are closed if there is no first one. Raises: as `while_connected`.
    """
    is_begun = False
    try:
        first = await while_connected(request, _next(pieces))
        is_begun = first is not END
        return first if is_begun else None
    finally:
        if not is_begun:
            await pieces.aclose()


class PiecewiseResponse(StreamingResponse):
    """An answer in pieces; they are closed when the client leaves, which cancels their work."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(pieces, media_type=media_type, headers={"cache-control": "no-store"})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            await super().__call__(scope, receive, send)


def event_response(events: AsyncGenerator[bytes, None]) -> PiecewiseResponse:
    """Return an answer of server-sent events; what goes wrong on the way is its last event."""
    return PiecewiseResponse(_with_pings(_with_error(events)), "text/event-stream")


async def _with_error(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the events; a problem becomes an event of its own, which OpenAI's clients raise."""
    async with aclosing(events):
        while True:
            [outcome] = await asyncio.gather(_next(events), return_exceptions=True)
            if outcome is END:
                return
            if isinstance(outcome, BaseException):
                yield event(answer_to(outcome).body())
                return
            yield outcome


async def _with_pings(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the events, and a comment wherever PING_S passed without one."""
    waiting: asyncio.Task[Any] | None = None
    async with aclosing(events):
        try:
            while True:
                waiting = waiting or asyncio.create_task(_next(events))
                await asyncio.wait({waiting}, timeout=PING_S)
                if not waiting.done():
                    yield b": ping\n\n"
                    continue
                done, waiting = waiting, None
                if (data := done.result()) is END:
                    return
                yield data
        finally:
            if waiting is not None:
                waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await waiting


async def _next(pieces: AsyncIterator[Any]) -> Any:
    return await anext(pieces, END)
