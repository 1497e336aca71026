"""Every request has an id: the client's own `X-Request-ID`, where it is fit for a header and a line
of a log, else one that is made here.

The answer's header tells it, the body of an error, and the access log (`service`). Does not: follow
a request into the engine, whose batches mix the rows of several.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
_FIT = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The id of the request being handled; empty outside of one."""
    return _current.get()


class RequestId:
    """ASGI middleware. Where two lie around each other, the outer one names the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or current():
            await self.app(scope, receive, send)
            return
        request_id = _chosen(Headers(scope=scope).getlist(HEADER))

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        token = _current.set(request_id)
        try:
            await self.app(scope, receive, named)
        finally:
            _current.reset(token)


def _chosen(sent: list[str]) -> str:
    """The one id that was sent, if it is fit, else a new one."""
    if len(sent) == 1 and _FIT.fullmatch(sent[0]):
        return sent[0]
    return uuid.uuid4().hex
