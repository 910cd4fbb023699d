"""The application: routes, what stands before them, and the worker's life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from ..cancel import Cancelled
from ..errors import PortError
from . import captions, lists, speech, transcription, translation
from .context import Context
from .guard import Guard, error_response
from .observer import Observed, Observer
from .realtime.route import realtime
from .refusals import Refusal, answer_to, refusal_of
from .wyoming import server as wyoming

CLIENT_LEFT = 499  # nobody reads it; it stands in the log
ROUTES = (
    Route("/v1/audio/speech", speech.speech, methods=["POST"]),
    Route("/dev/captioned_speech", captions.captioned_speech, methods=["POST"]),
    Route("/dev/phonemize", captions.phonemize, methods=["POST"]),
    Route("/dev/generate_from_phonemes", captions.generate_from_phonemes, methods=["POST"]),
    Route("/v1/audio/transcriptions", transcription.transcriptions, methods=["POST"]),
    Route("/v1/audio/translations", transcription.translations, methods=["POST"]),
    Route("/v1/audio/models", lists.audio_models),
    Route("/v1/audio/voices", lists.voices),
    Route("/v1/models", lists.models),
    Route("/v1/models/{name:path}", lists.model),
    Route("/translate", translation.translate, methods=["POST"]),
    Route("/languages", translation.languages),
    Route("/health", lists.health),
    Route("/ready", lists.ready),
    Route("/metrics", lists.metrics),
)


REALTIME: BaseRoute = WebSocketRoute("/v1/realtime", realtime)


def build(context: Context) -> ASGIApp:
    """Return the application that answers with the models of a context, behind its policy."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(context.worker.run())
        app.state.is_broken = task.done
        async with nullcontext() if context.wyoming is None else wyoming.listening(context, context.wyoming):
            yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(context.worker.close)

    app = Starlette(
        routes=[*ROUTES, REALTIME],
        lifespan=lifespan,
        exception_handlers={
            Refusal: _refuse,
            HTTPException: _http_error,
            ClientDisconnect: _client_left,
            **dict.fromkeys((PortError, Cancelled, OSError, MemoryError), _problem),
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.context = context
    app.state.observer = Observer(context.worker, frozenset(route.path for route in ROUTES))
    return Observed(Guard(app, context.policy), app.state.observer)


async def _refuse(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return error_response(request.url.path, refusal)


async def _http_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    refusal = Refusal(problem.status_code, problem.detail, headers=problem.headers or {})
    return error_response(request.url.path, refusal)


async def _client_left(request: Request, problem: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _problem(request: Request, problem: Exception) -> Response:
    return error_response(request.url.path, answer_to(problem))


async def _bug(request: Request, problem: Exception) -> Response:
    return error_response(request.url.path, refusal_of(problem))  # Starlette raises it again: uvicorn logs it
