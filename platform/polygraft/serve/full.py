"""When there is no room, a request is refused before its body is parsed: under ten times the load that the machine can take,
reading what will be refused anyway left a health check waiting for half a second.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.errors import Overloaded
from polygraft.runtime.admission import UNIT, Admission
from polygraft.serve.failures import refusal


class RefuseWhenFull:
    """ASGI middleware. `admission()` is asked about every POST but those to `spared`, by the length of its body."""

    def __init__(self, app: ASGIApp, admission: Callable[[], Admission], spared: str) -> None:
        self.app, self.admission, self.spared = app, admission, spared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] != self.spared:
            declared = Headers(scope=scope).get("content-length", "")
            try:
                self.admission().check(max(1, int(declared) // UNIT) if declared.isdecimal() else 1)
            except Overloaded as error:
                await refusal(error, scope["path"])(scope, receive, send)
                return
        await self.app(scope, receive, send)
