"""`POST /v1/translate`, whole or as a stream of server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter

from polygraft.errors import InvalidOption, PolygraftError, UnknownLanguage
from polygraft.serve import languages
from polygraft.serve.answers import Answered, raise_if_whole, results
from polygraft.serve.event_stream import EventStream
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.routing import Route, Wanted, route
from polygraft.serve.rows import texts_of
from polygraft.serve.schemas.row import ClassifyResponse
from polygraft.serve.schemas.translate import TranslateRequest
from polygraft.serve.translating import first_steps, translate
from polygraft.tasks.translation.glossary import read_glossary

STREAMED = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(
        "/v1/translate",
        response_model=ClassifyResponse,
        response_model_exclude_none=True,
        responses=STREAMED,  # type: ignore[arg-type]
    )
    async def translate_texts(request: TranslateRequest) -> Any:
        """Translate texts. `results[i].translation` is the i-th text's.

        With `stream`: events `progress` (`{"row", "sentence", "text", "before", "after",
        "final"}`, a sentence as it grows) and, for each row, `result` or `error`.
        """
        texts = texts_of(request)
        if request.stream and request.format == "html":
            raise InvalidOption("HTML is not streamed; leave stream out")
        check_count(host().settings, len(texts))
        text_routes = await _routes(host(), texts, request)
        if request.texts is None and isinstance(text_routes[0], PolygraftError):
            raise text_routes[0]

        def check(answers: Sequence[Answered]) -> None:
            if request.adapter or request.texts is None:
                raise_if_whole(answers, one_text=request.texts is None)

        if request.stream:
            return await EventStream.begin(host(), await first_steps(host(), text_routes), check)
        rows, answers = await translate(host(), text_routes)
        check(answers)
        return ClassifyResponse(results=results(rows, answers))

    return routes


async def _routes(
    host: Host, texts: Sequence[Any], request: TranslateRequest
) -> list[Route | PolygraftError]:
    """Raises `UnknownLanguage` where the languages that the request says for all of its texts are
    what is wrong."""
    wanted = Wanted(
        request.target,
        request.search(),
        adapter=request.adapter,
        detected=request.source is None,
        pivot=request.pivot,
        html=request.format == "html",
        key=request.key,
        allow_experimental=host.allows_experimental(request.allow_experimental),
        glossary=read_glossary(request.glossary),
    )
    sources: Sequence[str | PolygraftError | None] = [request.source] * len(texts)
    if not request.adapter:
        sources = await languages.sources(host, texts, request.source, html=wanted.html)
    text_routes = route(host.manifests(), texts, sources, wanted)
    if request.source is not None:
        for one in text_routes:
            if isinstance(one, UnknownLanguage):
                raise one
    return text_routes
