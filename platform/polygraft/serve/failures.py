"""How errors are told over HTTP: `{"error": {"code", "message"}}` with the error's status, whatever
went wrong."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.errors import Overloaded, PolygraftError
from polygraft.serve.schemas.errors import in_one_line
from polygraft.serve.tracked_send import TrackedSend

log = logging.getLogger(__name__)
LIBRETRANSLATE = ("/translate", "/detect", "/languages")
CODES = {404: "NotFound", 405: "MethodNotAllowed"}


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
    if path in LIBRETRANSLATE:
        return SafeJSONResponse(
            {"error": str(error)}, 400 if error.status == 422 else error.status, headers
        )
    return SafeJSONResponse({"error": error.payload()}, error.status, headers)


def failure(
    code: str, message: str, status: int, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer that tells an error."""
    return SafeJSONResponse({"error": {"code": code, "message": message}}, status, headers)


def tell_errors(app: FastAPI) -> None:
    """Make `app` tell every error in this shape."""

    @app.exception_handler(PolygraftError)
    async def on_error(request: Request, error: PolygraftError) -> JSONResponse:
        return refusal(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if any(e["type"] == "json_invalid" for e in errors):
            reason = errors[0].get("ctx", {}).get("error", "")
            return failure(
                "MalformedJSON", f"the body is not valid JSON ({reason}); send one JSON object", 400
            )
        if "json" not in request.headers.get("content-type", ""):
            return failure(
                "InvalidRequest",
                "send one JSON object, with the header content-type: application/json",
                422,
            )
        return failure("InvalidRequest", in_one_line(errors, "body", skip=1), 422)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        """What FastAPI itself refuses: an unknown path or method, a body that cannot be parsed."""
        phrase = HTTPStatus(error.status_code).phrase
        code = CODES.get(
            error.status_code,
            "MalformedJSON" if error.status_code == 400 else phrase.replace(" ", ""),
        )
        if request.url.path in LIBRETRANSLATE:
            return SafeJSONResponse(
                {"error": str(error.detail)}, error.status_code, dict(error.headers or {})
            )
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = headers.get("Allow", "another")
            message = f"{request.method} is not for {request.url.path}; it takes {allowed}"
        elif error.detail == phrase:
            message = f"{phrase.lower()}; GET /docs lists what there is"
        else:
            message = str(error.detail)
        return failure(code, message, error.status_code, headers)


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
            log.exception("%s %s failed", scope["method"], scope["path"])
            if tracked.status is None:
                answer = failure(
                    "InternalError", "the server failed on this request; its log says why", 500
                )
                await answer(scope, receive, send)
