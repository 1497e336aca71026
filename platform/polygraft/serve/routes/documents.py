"""`POST /v1/translate/document`: a file in, the same file in another language out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from polygraft.errors import InvalidRow, PolygraftError, SameLanguage, TooLarge
from polygraft.runtime.search import Search
from polygraft.serve import languages
from polygraft.serve.host import Host
from polygraft.serve.routing import Wanted, route
from polygraft.serve.schemas.fields import Name
from polygraft.serve.translating import translate
from polygraft.tasks.translation.documents import KINDS, Document, read_document
from polygraft.tasks.translation.markup import plain
from polygraft.tasks.translation.serving import Translated
from polygraft.tasks.translation.units import Unit

MAX_CHARACTERS, MAX_UNITS = 200_000, 10_000
"""Of a document: about a hundred pages, which take a server of two cores most of a minute."""
SAMPLE = 2_000
"""Characters by which its language is told."""
QUALITY, CHECKED = "X-Translation-Quality", "X-Translation-Check"
ANYTHING = {"schema": {"type": "string", "format": "binary"}}
UPLOAD = {"requestBody": {"required": True, "content": {"application/octet-stream": ANYTHING}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind.media_type: ANYTHING for kind in KINDS.values()}}
}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(
        "/v1/translate/document",
        response_class=Response,
        responses=FILE,
        openapi_extra=UPLOAD,
    )
    async def translate_document(
        request: Request,
        format: Annotated[
            Literal["txt", "srt", "html", "docx"], Query(description="what the file is")
        ],
        target: Annotated[Name, Query(description="language to write")],
        source: Annotated[
            Name | None, Query(description="of the file; left out, it is detected")
        ] = None,
        adapter: Name | None = None,
        pivot: bool = True,
        allow_experimental: bool | None = None,
        beam: int = 1,
    ) -> Response:
        """Translate a file, the body, and keep its form. Headers of the answer:
        `X-Translation-Quality`, the class of the direction, and `X-Translation-Check`, in how many
        of its parts there is a sentence that should not be trusted unread."""
        content = await request.body()
        document = await run_in_threadpool(partial(read_document, content, format))
        units = _units(document)
        wanted = Wanted(
            target,
            Search(beam=beam),
            adapter=adapter,
            detected=source is None,
            pivot=pivot,
            allow_experimental=host().allows_experimental(allow_experimental),
        )
        if source is None and adapter is None:
            (told,) = await languages.sources(host(), [_sample(units)], None)
            if isinstance(told, PolygraftError):
                raise told
            source = told
        translated = await _translated(host(), units, source, wanted)
        file = await run_in_threadpool(document.join, [one.text for one in translated])
        checked = sum(bool(one.estimates().get("check")) for one in translated)
        headers = {
            QUALITY: translated[0].fields()["quality"],
            CHECKED: f"{checked} of {len(translated)}",
            "Content-Disposition": f'attachment; filename="translation.{format}"',
        }
        return Response(file, media_type=KINDS[format].media_type, headers=headers)

    return routes


def _units(document: Document) -> list[Unit]:
    """Raises `InvalidRow` where there is nothing to translate, and `TooLarge`."""
    units = list(document.units)
    characters = sum(len(unit.text) for unit in units)
    if not any(unit.text.strip() for unit in units):
        raise InvalidRow("the document has no text; send one that has some")
    if characters > MAX_CHARACTERS or len(units) > MAX_UNITS:
        raise TooLarge(
            f"the document has {characters:,} characters in {len(units):,} parts; at most "
            f"{MAX_CHARACTERS:,} and {MAX_UNITS:,} are translated at once: send it in parts"
        )
    return units


def _sample(units: list[Unit]) -> str:
    """The beginning of a document's text."""
    text, at = "", 0
    while at < len(units) and len(text) < SAMPLE:
        text += f"{plain(units[at].text) if units[at].html else units[at].text} "
        at += 1
    return text[:SAMPLE]


async def _translated(
    host: Host, units: list[Unit], source: str | None, wanted: Wanted
) -> list[Translated]:
    """The translation of each unit, in order. Raises the first error."""
    of_form = {
        is_html: iter(
            route(
                host.manifests(),
                [unit.text for unit in units if unit.html == is_html],
                [source for unit in units if unit.html == is_html],
                replace(wanted, html=is_html),
            )
        )
        for is_html in (False, True)
    }
    _, answers = await translate(host, [next(of_form[unit.html]) for unit in units])
    for place, one in enumerate(answers):
        if isinstance(one, SameLanguage):
            raise one
        if isinstance(one, PolygraftError):
            raise one.at(f"part {place + 1} of {len(units)}")
    return [one for one in answers if isinstance(one, Translated)]
