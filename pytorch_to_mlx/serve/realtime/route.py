"""The WebSocket /v1/realtime."""

import asyncio
import json
import logging
from time import monotonic
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ...checkpoint.json_file import parse_json
from ...errors import FormatError
from ..context import Context
from ..refusals import Refusal
from .session import Overflow, Session
from .settings import Settings

MAX_FRAME = 1 << 20  # bytes
MAX_DEPTH = 10
SESSION_S = 3600.0
SLOW_S = 120.0  # the longest wait for a client that does not read
POLICY, TOO_BIG, BUG = 1008, 1009, 1011  # RFC 6455, 7.4.1
UVICORN_OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio", "ws_max_size": MAX_FRAME, "ws_per_message_deflate": False,
}  # fmt: skip
"""How the server must be run for this route: what is too large is refused before it is here."""
_log = logging.getLogger(__name__)


async def realtime(socket: WebSocket) -> None:
    """Transcribe what a client says until it leaves. The guard has checked who it is."""
    context: Context = socket.app.state.context
    await socket.accept("realtime" if "realtime" in socket.scope.get("subprotocols", ()) else None)
    started = monotonic()

    async def send(event: dict[str, Any]) -> None:
        async with asyncio.timeout(SLOW_S):
            await socket.send_text(json.dumps(event))

    try:
        settings = Settings.of(context.catalogue, socket.query_params.get("model"))
    except Refusal as refusal:
        await send({"type": "error", "event_id": "event_0", **refusal.body()})
        await socket.close(POLICY)
        return
    session = Session(context, settings, send)
    work = asyncio.create_task(session.run())
    reading = asyncio.create_task(_read(socket, session))
    try:
        await asyncio.wait({work, reading}, timeout=SESSION_S, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in (reading, work) if task.done()]  # reading first: a client that left is no problem
        problem = ended[0].exception() if ended else Refusal(408, "the session is over", code="session_expired")
    finally:
        for task in (work, reading):
            task.cancel()
        await asyncio.gather(work, reading, return_exceptions=True)
        _log.info("realtime", extra={"model": settings.model.name, "seconds": round(monotonic() - started, 3)})
    await _end(socket, session, problem)


async def _read(socket: WebSocket, session: Session) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        event: Any = None
        try:
            event = _parse(message.get("text"))
            session.put(event)
        except Refusal as refusal:
            await session.tell_error(refusal, event)


def _parse(text: str | None) -> dict[str, Any]:
    if text is None:
        raise Refusal(400, "frames are text")
    try:
        return parse_json(text.encode(), where="an event", max_depth=MAX_DEPTH)
    except FormatError as problem:
        raise Refusal(400, f"not an event: {problem.what}") from None


async def _end(socket: WebSocket, session: Session, problem: BaseException | None) -> None:
    """Close the connection where the client has not."""
    if problem is None or isinstance(problem, (WebSocketDisconnect, ConnectionError, TimeoutError)):
        return
    code = POLICY if isinstance(problem, Refusal) else BUG
    if isinstance(problem, Overflow):
        code, problem = TOO_BIG, Refusal(413, "more audio waits than a session may hold")
    try:
        await session.tell_error(problem)
        await socket.close(code)
    except (RuntimeError, ConnectionError, TimeoutError, WebSocketDisconnect):
        _log.info("a client left")
