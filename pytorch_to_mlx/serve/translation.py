"""LibreTranslate's API: POST /translate and GET /languages, for its clients."""

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..tasks import Translation, Translator
from .context import Context
from .fields import read_either
from .http import first_of, while_connected
from .models import TRANSLATION, Served
from .refusals import Refusal
from .worker import Job

MAX_ALTERNATIVES = 10
S_PER_CHARACTER = 0.005  # of work, before any was measured
_AUTO = "there is no model here that detects the language; name it in 'source'"


async def languages(request: Request) -> Response:
    """Answer with the languages that can be translated from, and for each the targets."""
    targets: dict[str, list[str]] = {}
    for model in Context.of(request).catalogue.of_task(TRANSLATION):
        for source in model.sources:
            known = targets.setdefault(source, [])
            known += [target for target in model.targets if target not in known]
    return JSONResponse([{"code": code, "name": code, "targets": to} for code, to in targets.items()])


async def translate(request: Request) -> Response:
    """Answer with the translation of `q`, a text or a list of texts."""
    context = Context.of(request)
    fields = await read_either(request)
    if "authorization" not in request.headers:
        context.policy.check_key(fields.text("api_key", longest=1000, default=""))
    texts = fields.texts("q", longest=context.limits.max_characters)
    source = fields.text("source", longest=100)
    target = fields.text("target", longest=100)
    fields.choice("format", ("text",), "text")
    n_more = int(fields.number("alternatives", default=0, low=0, high=MAX_ALTERNATIVES))
    fields.finish("api_key", "secret")
    if source == "auto":
        raise Refusal(400, _AUTO, "source")
    if not texts or not all(texts):
        raise Refusal(400, "'q' is empty", "q")
    items = [texts] if isinstance(texts, str) else texts
    model = context.catalogue.translator(source, target)
    job = Job(model.name, _starter(model, items, source, target, n_more), estimate_s=_estimate_s(items))
    pieces = context.worker.results(job)
    results: list[Translation] = []

    async def collect() -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                results.append(piece)

    results.append(await first_of(request, pieces))  # type: ignore[arg-type]  there is one for each text
    await while_connected(request, collect())
    answer: dict[str, Any] = {"translatedText": _one_or_all(texts, [result.text for result in results])}
    if n_more:
        answer["alternatives"] = _one_or_all(texts, [_alternatives(result, n_more) for result in results])
    return JSONResponse(answer)


def _estimate_s(texts: list[str]) -> float:
    return S_PER_CHARACTER * sum(map(len, texts))


def _starter(model: Served, texts: list[str], source: str, target: str, n_more: int) -> Any:
    """Return what translates in the worker, a text at a time."""
    named: dict[str, Any] = {"src": source} if model.names_source else {}
    if not model.is_one_pair:
        named["tgt"] = target
    if n_more:
        named["n_best"] = n_more + 1

    def start(pipeline: Translator) -> Iterator[Any]:
        return (pipeline.translate(text, **named) for text in texts)

    return start


def _alternatives(translation: Translation, count: int) -> list[str]:
    """Return other translations of a text: its sentences' second best, third best …"""
    ranks = range(1, count + 1)
    return [
        "".join(
            sentence.candidates[min(rank, len(sentence.candidates) - 1)].text if sentence.candidates else sentence.text
            for sentence in translation.sentences
        )
        for rank in ranks
        if any(len(sentence.candidates) > rank for sentence in translation.sentences)
    ]


def _one_or_all(texts: list[str] | str, values: list[Any]) -> Any:
    return values[0] if isinstance(texts, str) else values
