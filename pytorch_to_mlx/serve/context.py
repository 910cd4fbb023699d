"""What the routes of one server work with."""

import asyncio
import socket
from dataclasses import dataclass, field

from starlette.requests import Request

from .guard import Policy
from .models import Catalogue
from .worker import Worker


@dataclass(frozen=True)
class Limits:
    """max_characters: of a text. max_audio_s: seconds of a recording."""

    max_characters: int = 100_000
    max_audio_s: float = 4 * 3600.0


@dataclass(frozen=True)
class Context:
    """The models, the worker that runs them, the limits of a request, and who may ask.

    wyoming: a bound socket, if the server speaks that protocol too.
    """

    catalogue: Catalogue
    worker: Worker
    limits: Limits
    policy: Policy
    wyoming: socket.socket | None = None
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # recordings at a time

    @classmethod
    def of(cls, request: Request) -> "Context":
        """Return that of the server that got a request."""
        return request.app.state.context
