"""LibreTranslate's API: `/translate`, `/languages`, `/detect`, for the clients that speak it already.

JSON or form bodies; errors are `{"error": "message"}`. Unlike LibreTranslate, each text of a list is detected on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from langcodes import Language

from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.rows import Translated
from polygraft.runtime.search import MAX_BEAM, Search
from polygraft.serve import languages
from polygraft.serve.answers import answer, check_count
from polygraft.serve.host import Host

Body = dict[str, Any]


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["LibreTranslate"])

    @routes.post("/translate")
    async def translate(request: Request) -> JSONResponse:
        """`q` (text or texts), `source` (a code or "auto"), `target`, `alternatives`?"""
        return await _told(request, lambda body: _translate(host(), body))

    @routes.post("/detect")
    async def detect(request: Request) -> JSONResponse:
        """`q`, one text -> likely languages with confidence 0 to 100."""
        return await _told(request, lambda body: _detect(host(), body))

    @routes.get("/languages")
    def list_languages() -> list[Body]:
        """Languages that can be translated from, and into what."""
        there = languages.directions(host().engine)
        codes = sorted({source for source, _ in there})
        return [{"code": c, "name": name_of(c), "targets": sorted(t for s, t in there if s == c)} for c in codes]

    return routes


def name_of(code: str) -> str:
    """The language's English name."""
    return Language.get(code).display_name()


def _translate(host: Host, body: Body) -> Body:
    texts, many = _texts(body)
    target, source = body.get("target"), body.get("source")
    if not isinstance(target, str) or not isinstance(source, str):
        raise InvalidRow('source and target are needed: language codes, or "auto" for the source')
    if body.get("format", "text") not in ("text", None, ""):
        raise InvalidRow("only format text is supported; take the markup out first")
    try:
        more = int(body.get("alternatives") or 0)
    except (TypeError, ValueError):
        raise InvalidRow("alternatives is a number") from None
    if not 0 <= more < MAX_BEAM:
        raise InvalidRow(f"alternatives is {more}; give 0 to {MAX_BEAM - 1}")
    search = Search(beam=max(4, more + 1), n_best=more + 1) if more else Search()
    told = languages.detect(host.engine, texts) if source == "auto" else []
    known = [t if isinstance(t, PolygraftError) else t[0].language for t in told] or [source] * len(texts)
    rows = languages.route(host.engine, texts, known, target, search)
    answers = answer(host, rows)
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


def _detect(host: Host, body: Body) -> list[Body]:
    texts, _ = _texts(body)
    (likely,) = languages.detect(host.engine, texts[:1])
    if isinstance(likely, PolygraftError):
        raise likely
    return [_shown(d) for d in likely]


def _shown(one: languages.Detected) -> Body:
    return {"language": one.language, "confidence": round(100 * one.confidence, 1)}


def _texts(body: Body) -> tuple[list[str], bool]:
    q = body.get("q")
    texts = q if isinstance(q, list) else [q]
    usable = [t for t in texts if isinstance(t, str) and t.strip()]
    if not texts or len(usable) < len(texts):
        raise InvalidRow("q is needed: a text that is not empty, or a list of such texts")
    check_count(len(texts))
    return usable, isinstance(q, list)


async def _told(request: Request, work: Callable[[Body], Any]) -> JSONResponse:
    """The answer to a JSON or form body, or the error in LibreTranslate's shape."""
    try:
        if "json" in request.headers.get("content-type", ""):
            body = await request.json()
        else:
            body = dict(await request.form())
        if not isinstance(body, dict):
            raise InvalidRow("send one JSON object, or a form")
        return JSONResponse(await run_in_threadpool(work, body))
    except ValueError:
        return JSONResponse({"error": "the body is not valid JSON; send one JSON object, or a form"}, 400)
    except PolygraftError as error:
        return JSONResponse({"error": str(error)}, 400 if error.status == 422 else error.status)
