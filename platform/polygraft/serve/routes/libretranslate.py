"""LibreTranslate's API: `/translate`, `/languages`, `/detect`, for the clients that speak it
already.

JSON or form bodies; errors are `{"error": "message", "request_id"}`. Unlike LibreTranslate, each
text of a list is detected on its own, and what went through English says so (`via`), or is not done
(`"pivot": false`). Answers have the `quality` of their direction; what is experimental is refused
unless `allow_experimental` or the server's setting says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from langcodes import Language
from pydantic import BaseModel

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidOption, InvalidRow, PolygraftError, SameLanguage, shortened
from polygraft.runtime.rows import text_problem
from polygraft.runtime.search import MAX_BEAM, Search
from polygraft.serve import languages
from polygraft.serve.failures import SafeJSONResponse
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.routing import Wanted, directions, route, targets
from polygraft.serve.schemas.failures import FAILURES
from polygraft.serve.schemas.libretranslate import (
    DetectedOut,
    DetectIn,
    LanguageOut,
    TranslateIn,
    TranslateOut,
)
from polygraft.serve.translating import Pivoted, translate
from polygraft.tasks.translation.quality import Quality
from polygraft.tasks.translation.serving import Translated

Body = dict[str, Any]
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
    async def translate_texts(request: Request) -> JSONResponse:
        """`q` (text or texts), `source` (a code or "auto"), `target`, `format`?, `alternatives`?,
        `pivot`?, `allow_experimental`?"""
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
        reached = targets(directions(host().manifests()))
        return [_language(host(), code, classes) for code, classes in reached.items()]

    return routes


def name_of(code: str) -> str:
    """The language's English name."""
    return Language.get(code).display_name()


def _language(host: Host, code: str, classes: dict[str, Quality]) -> LanguageOut:
    """A language and those that it can be translated into."""
    served = [
        target
        for target, quality in classes.items()
        if quality is not Quality.EXPERIMENTAL or host.allows_experimental(None)
    ]
    return LanguageOut(code=code, name=name_of(code), targets=served, quality=classes)


async def _translate(host: Host, body: Body) -> Body:
    texts, is_list = _texts(host, body)
    source, target = _languages(body)
    alternatives, html = _alternatives(body), _is_html(body)
    search = Search()
    if alternatives:
        search = Search(beam=max(4, alternatives + 1), n_best=alternatives + 1)
    sources: list[str | PolygraftError] = [source] * len(texts)
    detections: list[list[languages.Detected] | PolygraftError] = []
    if source == "auto":
        read = [languages.without_markup(text) for text in texts] if html else texts
        detections = await languages.detect(host, read)
        sources = [languages.source_of(detected) for detected in detections]
    wanted = Wanted(
        target,
        search,
        detected=bool(detections),
        pivot=_flag(body, "pivot") is not False,
        html=html,
        allow_experimental=host.allows_experimental(_flag(body, "allow_experimental")),
    )
    _, answers = await translate(host, route(host.manifests(), texts, sources, wanted))
    written = [_written(place, answered, is_list) for place, answered in enumerate(answers)]
    # a text that is in the target language already comes back as it is
    best = [one.text if one else text for one, text in zip(written, texts, strict=True)]
    response: Body = {"translatedText": _as_asked(best, is_list)}
    if detections:
        likeliest = [_detected_out(d[0]) for d in detections if isinstance(d, list)]
        response["detectedLanguage"] = _as_asked(likeliest, is_list)
    if alternatives:
        others = [one.texts[1:] if one else [] for one in written]
        response["alternatives"] = _as_asked(others, is_list)
    response["quality"] = _as_asked(
        [one.fields()["quality"] if one else None for one in written], is_list
    )
    via = [one.source if isinstance(one, Pivoted) else None for one in written]
    if any(via):
        response["via"] = _as_asked(via, is_list)
    return response


def _written(place: int, answered: object, is_list: bool) -> Translated | None:
    """A translation; None for a text that needs none. Raises the error of any other, which says
    where in a list it is."""
    if isinstance(answered, Translated):
        return answered
    if isinstance(answered, SameLanguage):
        return None
    assert isinstance(answered, PolygraftError)
    raise answered.at(f"q[{place}]") if is_list else answered


async def _detect(host: Host, body: Body) -> list[Body]:
    texts, _ = _texts(host, body)
    (detected,) = await languages.detect(host, texts[:1])
    if isinstance(detected, PolygraftError):
        raise detected
    return [_detected_out(d) for d in detected]


def _detected_out(detected: languages.Detected) -> Body:
    """Cut, not rounded, so that no sum is over 100."""
    tenths = int(round(1000 * detected.confidence, 3))
    return {"language": detected.language, "confidence": tenths / 10}


def _as_asked(values: list[Any], is_list: bool) -> Any:
    """A list where `q` is one, else its one value."""
    return values if is_list else values[0]


def _texts(host: Host, body: Body) -> tuple[list[str], bool]:
    """The texts of `q`, and whether it is a list. Raises `TooManyRows`, or `InvalidRow`."""
    q = body.get("q")
    texts: list[Any] = q if isinstance(q, list) else [q]
    check_count(host.settings, len(texts))
    if not texts:
        raise InvalidRow("q is empty; send a text, or a list of texts")
    for text in texts:
        if problem := text_problem(text):
            raise InvalidRow(problem)
    return texts, isinstance(q, list)


def _languages(body: Body) -> tuple[str, str]:
    """Source and target. Raises `InvalidRow`."""
    source, target = body.get("source"), body.get("target")
    if not isinstance(target, str) or not isinstance(source, str) or not_unicode(target + source):
        raise InvalidRow('source and target are needed: language codes, or "auto" for the source')
    return source, target


def _is_html(body: Body) -> bool:
    """Raises `InvalidOption` for a format that is neither text nor HTML."""
    given = body.get("format") or "text"
    if given not in ("text", "html"):
        raise InvalidOption(f"format is {shortened(str(given))}; give text or html")
    return bool(given == "html")


def _flag(body: Body, name: str) -> bool | None:
    """None where it is left out. Raises `InvalidOption` for what is neither true nor false; a form
    says it in letters."""
    if body.get(name) is None:
        return None
    given = str(body[name]).lower()
    if given not in ("true", "false"):
        raise InvalidOption(f"{name} is {shortened(given)}; give true or false")
    return given == "true"


def _alternatives(body: Body) -> int:
    """How many further translations are wanted. Raises `InvalidRow`."""
    try:
        alternatives = int(body.get("alternatives") or 0)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRow(f"alternatives is a number from 0 to {MAX_BEAM - 1}") from None
    if not 0 <= alternatives < MAX_BEAM:
        raise InvalidRow(f"alternatives is {alternatives}; give 0 to {MAX_BEAM - 1}")
    return alternatives


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
