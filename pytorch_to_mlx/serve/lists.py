"""What there is: models and voices, as OpenAI's API and Open WebUI read them; and how the server is."""

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .context import Context
from .models import SPEECH, Served
from .refusals import Refusal


async def models(request: Request) -> Response:
    """Answer with all models."""
    return JSONResponse({"object": "list", "data": [_model(model) for model in Context.of(request).catalogue.models]})


async def model(request: Request) -> Response:
    """Answer with one model."""
    name = request.path_params["name"]
    for served in Context.of(request).catalogue.models:
        if served.name == name:
            return JSONResponse(_model(served))
    raise Refusal(404, f"there is no model '{name[:100]}'", "model", "model_not_found")


def _model(served: Served) -> dict[str, object]:
    return {"id": served.name, "object": "model", "created": 0, "owned_by": "pytorch-to-mlx", "task": served.task}


async def audio_models(request: Request) -> Response:
    """Answer with the models that speak, in the form of Open WebUI too."""
    speakers = Context.of(request).catalogue.of_task(SPEECH)
    names = [{"id": served.name, "name": served.name} for served in speakers]
    return JSONResponse({"object": "list", "data": [_model(served) for served in speakers], "models": names})


async def voices(request: Request) -> Response:
    """Answer with the voices of all models, or of the one that `?model=` names; in the form of Open WebUI too."""
    catalogue = Context.of(request).catalogue
    name = request.query_params.get("model")
    speakers = [catalogue.find(name, SPEECH)] if name else catalogue.of_task(SPEECH)
    items = [
        {
            "object": "audio.voice",
            "id": voice,
            "name": voice,
            "type": "audio_sample",
            "created_at": 0,
            "language": language,
            "model": served.name,
        }
        for served in speakers
        for voice, language in served.voices.items()
    ]
    return JSONResponse({"object": "list", "data": items, "voices": items})


async def health(request: Request) -> Response:
    """Answer whether the server works at all."""
    if request.app.state.is_broken():
        raise Refusal(503, "the worker has ended")
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Answer whether requests are taken."""
    if Context.of(request).worker.is_draining:
        raise Refusal(503, "the server is stopping")
    return await health(request)


async def metrics(request: Request) -> Response:
    """Answer with the numbers that Prometheus collects."""
    return Response(generate_latest(request.app.state.observer.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
