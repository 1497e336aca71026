"""How errors are told over HTTP: `{"error": {"code", "message", "request_id"}}` with the error's
status, whatever went wrong. Clients of other APIs get what they know: `{"error": message,
"request_id"}`, Hugging Face's `error_type` too."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.errors import Overloaded, PolygraftError, shortened
from polygraft.serve import request_id
from polygraft.serve.metrics import METHODS
from polygraft.serve.schemas.errors import in_one_line
from polygraft.serve.tracked_send import TrackedSend

log = logging.getLogger(__name__)
LIBRETRANSLATE = ("/translate", "/detect", "/languages")
OPEN_INFERENCE, HUGGING_FACE = "/v2/", "/hf/"
CODES = {400: "MalformedJSON", 404: "NotFound", 405: "MethodNotAllowed"}
HEALTH = ("/livez", "/readyz", "/healthz")
"""BentoML answers a GET of these; another method comes here."""


class SafeJSONResponse(JSONResponse):
    """JSON in UTF-8; what is not valid Unicode is escaped, so that no answer fails while it is
    written."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def refusal(error: PolygraftError, path: str) -> JSONResponse:
    """The answer that tells an error of ours, with `Retry-After` when it says when to come again.
    LibreTranslate's clients know a text alone, and 400 for what is wrong with a request."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Overloaded) else None
    status = 400 if path in LIBRETRANSLATE and error.status == 422 else error.status
    return failure(error.code, str(error), status, path, headers)


def failure(
    code: str, message: str, status: int, path: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer that tells an error of a request to `path`."""
    named = {"request_id": request_id.current()}
    if path in LIBRETRANSLATE or path.startswith(OPEN_INFERENCE):
        return SafeJSONResponse({"error": message} | named, status, headers)
    if path.startswith(HUGGING_FACE):
        body = {"error": message, "error_type": code}
        return SafeJSONResponse(body | named, status, headers)
    error = {"code": code, "message": message} | named
    return SafeJSONResponse({"error": error}, status, headers)


def tell_errors(app: FastAPI) -> None:
    """Make `app` tell every error in this shape."""

    @app.exception_handler(PolygraftError)
    async def on_error(request: Request, error: PolygraftError) -> JSONResponse:
        return refusal(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors, path = error.errors(), request.url.path
        if any(e["type"] == "json_invalid" for e in errors):
            reason = errors[0].get("ctx", {}).get("error", "")
            message = f"the body is not valid JSON ({reason}); send one JSON object"
            return failure("MalformedJSON", message, 400, path)
        in_body = any(e["loc"][:1] == ("body",) for e in errors)
        if in_body and "json" not in request.headers.get("content-type", ""):
            message = "send one JSON object, with the header content-type: application/json"
            return failure("InvalidRequest", message, 422, path)
        message = in_one_line(errors, "body", skip=1, known=_fields(request))
        return failure("InvalidRequest", message, 422, path)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        """What FastAPI itself refuses: an unknown path or method, a body that cannot be parsed."""
        path, status, headers = request.url.path, error.status_code, dict(error.headers or {})
        if allowed := _methods(app, request.scope):
            status, headers["Allow"] = HTTPStatus.METHOD_NOT_ALLOWED, ", ".join(allowed)
            message = f"{request.method} is not for {path}; it takes {headers['Allow']}"
        elif status == HTTPStatus.NOT_FOUND:
            message = f"there is no {shortened(path)}; GET /docs lists what there is"
        else:
            message = str(error.detail)
        code = CODES.get(status, HTTPStatus(status).phrase.replace(" ", ""))
        return failure(code, message, status, path, headers)


def _fields(request: Request) -> Collection[str]:
    """Names of the fields that the body of a request may have, as far as its route says."""
    body = getattr(request.scope.get("route"), "body_field", None)
    kind = body.field_info.annotation if body else None
    return getattr(kind, "model_fields", ())


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """What the path of a request takes, where that is other methods than the request's."""
    if scope["path"] in HEALTH:
        taken = ["GET", "HEAD"]
    else:
        taken = [
            method
            for method in sorted(METHODS)
            if any(
                route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes
            )
        ]
    return [] if scope["method"] in taken else taken


class LastResort:
    """ASGI middleware: an exception that nobody foresaw is logged and answered with 500, without
    its traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracked = TrackedSend(send)
        try:
            await self.app(scope, receive, tracked)
        except ClientDisconnect:
            raise
        except Exception:
            if scope["type"] != "http":
                raise
            method, path = scope["method"], scope["path"]
            log.exception("%s %s failed (request %s)", method, path, request_id.current())
            if tracked.status is None:
                message = "the server failed on this request; its log says why"
                answer = failure("InternalError", message, 500, path)
                await answer(scope, receive, send)
