"""Listen for clients of Wyoming, on the event loop of the HTTP server."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ...errors import UsageError
from ..context import Context
from ..refusals import Refusal
from .connection import Connection
from .events import MAX_LINE

MAX_CONNECTIONS = 64
STOP_S = 30.0  # for what runs when the server is told to stop


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of an address such as tcp://127.0.0.1:10200. Raises: UsageError."""
    match = re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[^:/\[\]]+):([0-9]{1,5})", text)
    if not match:
        raise UsageError(f"'{text}' is not an address for Wyoming", fix="such as tcp://127.0.0.1:10200")
    return match[1].strip("[]"), int(match[2])


@asynccontextmanager
async def listening(context: Context, listener: socket.socket) -> AsyncIterator[None]:
    """Answer the clients that connect to a bound socket; at the end, what runs may end first."""
    connections: dict[asyncio.Task[None], Connection] = {}

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(context, reader, writer)
        if len(connections) >= MAX_CONNECTIONS:
            await connection.refuse(Refusal(503, "too many connections", code="overloaded_error"))
            return
        task = asyncio.current_task()
        assert task is not None
        connections[task] = connection
        try:
            with suppress(asyncio.CancelledError):
                await connection.run()
        finally:
            del connections[task]

    server = await asyncio.start_server(accept, sock=listener, limit=MAX_LINE)
    try:
        yield
    finally:
        server.close()
        works = [connection.work for connection in connections.values() if connection.work is not None]
        if works:
            await asyncio.wait(works, timeout=STOP_S)
        tasks = [*connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
