"""LibreTranslate's API: `/translate`, `/languages`, `/detect`, for the clients that speak it
already.

JSON or form bodies; errors are `{"error": "message"}`. Unlike LibreTranslate, each text of a list
is detected on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from langcodes import Language
from pydantic import BaseModel, Field

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.search import MAX_BEAM, Search
from polygraft.serve import languages
from polygraft.serve.answers import answer, check_count
from polygraft.serve.failures import SafeJSONResponse
from polygraft.serve.host import Host
from polygraft.tasks.translation.serving import Translated

Body = dict[str, Any]


class TranslateIn(BaseModel):
    """What `/translate` reads; other fields of LibreTranslate's are passed over."""

    q: str | list[str]
    source: str = Field(description='language code, or "auto"')
    target: str
    format: Literal["text"] | None = None
    alternatives: int | None = Field(None, ge=0, lt=MAX_BEAM)


class DetectIn(BaseModel):
    q: str


class DetectedOut(BaseModel):
    language: str
    confidence: float = Field(description="0 to 100")


class TranslateOut(BaseModel):
    """Lists where `q` is a list."""

    translatedText: str | list[str]  # noqa: N815
    detectedLanguage: DetectedOut | list[DetectedOut] | None = None  # noqa: N815
    alternatives: list[str] | list[list[str]] | None = None


class LanguageOut(BaseModel):
    code: str
    name: str
    targets: list[str]


class Failure(BaseModel):
    """Errors as LibreTranslate tells them."""

    error: str


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure} for status in (400, 404, 408, 413, 422, 500, 503, 504)
}
FORMS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")


def _body(model: type[BaseModel]) -> Body:
    """The request's part of the OpenAPI document: JSON or either kind of form."""
    schema = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": dict.fromkeys(FORMS, schema)}}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["LibreTranslate"])

    @routes.post(
        "/translate",
        response_model=TranslateOut,
        responses=FAILURES,
        openapi_extra=_body(TranslateIn),
    )
    async def translate(request: Request) -> JSONResponse:
        """`q` (text or texts), `source` (a code or "auto"), `target`, `alternatives`?"""
        return SafeJSONResponse(await _translate(host(), await _read(request)))

    @routes.post(
        "/detect",
        response_model=list[DetectedOut],
        responses=FAILURES,
        openapi_extra=_body(DetectIn),
    )
    async def detect(request: Request) -> JSONResponse:
        """`q`, one text -> likely languages with confidence 0 to 100."""
        return SafeJSONResponse(await _detect(host(), await _read(request)))

    @routes.get("/languages")
    async def list_languages() -> list[LanguageOut]:
        """Languages that can be translated from, and into what."""
        there = languages.directions(host().engine)
        codes = sorted({source for source, _ in there})
        return [
            LanguageOut(code=c, name=name_of(c), targets=sorted(t for s, t in there if s == c))
            for c in codes
        ]

    return routes


def name_of(code: str) -> str:
    """The language's English name."""
    return Language.get(code).display_name()


async def _translate(host: Host, body: Body) -> Body:
    texts, many = _texts(host, body)
    target, source = body.get("target"), body.get("source")
    if not isinstance(target, str) or not isinstance(source, str) or not_unicode(target + source):
        raise InvalidRow('source and target are needed: language codes, or "auto" for the source')
    if body.get("format", "text") not in ("text", None, ""):
        raise InvalidRow("only format text is supported; take the markup out first")
    try:
        more = int(body.get("alternatives") or 0)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRow(f"alternatives is a number from 0 to {MAX_BEAM - 1}") from None
    if not 0 <= more < MAX_BEAM:
        raise InvalidRow(f"alternatives is {more}; give 0 to {MAX_BEAM - 1}")
    search = Search(beam=max(4, more + 1), n_best=more + 1) if more else Search()
    told = await languages.detect(host, texts) if source == "auto" else []
    known = [t if isinstance(t, PolygraftError) else t[0].language for t in told] or [source] * len(
        texts
    )
    rows = languages.route(host.engine, texts, known, target, search, detected=bool(told))
    answers = await answer(host, rows)
    for one in answers:
        if isinstance(one, PolygraftError):
            raise one
    done = [a for a in answers if isinstance(a, Translated)]
    found: Body = {"translatedText": [a.text for a in done] if many else done[0].text}
    if told:
        shown = [_shown(t[0]) for t in told if isinstance(t, list)]
        found["detectedLanguage"] = shown if many else shown[0]
    if more:
        found["alternatives"] = [a.texts[1:] for a in done] if many else done[0].texts[1:]
    return found


async def _detect(host: Host, body: Body) -> list[Body]:
    texts, _ = _texts(host, body)
    (likely,) = await languages.detect(host, texts[:1])
    if isinstance(likely, PolygraftError):
        raise likely
    return [_shown(d) for d in likely]


def _shown(one: languages.Detected) -> Body:
    return {"language": one.language, "confidence": round(100 * one.confidence, 1)}


def _texts(host: Host, body: Body) -> tuple[list[str], bool]:
    q = body.get("q")
    texts: list[Any] = q if isinstance(q, list) else [q]
    check_count(host, len(texts))
    problem = next((p for p in map(languages.problem_of, texts) if p), None)
    if problem or not texts:
        raise problem or InvalidRow("q is empty; send a text, or a list of texts")
    return texts, isinstance(q, list)


async def _read(request: Request) -> Body:
    """The JSON or form of a request's body. Raises `InvalidRow`."""
    try:
        if "json" in request.headers.get("content-type", ""):
            body = json.loads(await request.body())
        else:
            body = dict(await request.form())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidRow("the body is not valid JSON; send one JSON object, or a form")
    return body
