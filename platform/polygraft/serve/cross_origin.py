"""Pages of other origins: which may read what the server answers (CORS). None, unless
POLYGRAFT_CORS_ORIGINS lists them.

They may ask for answers, and no more: the header with the admin key is not allowed to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.serve import request_id

MAX_AGE = 600  # seconds that a browser keeps what it was told


class CrossOrigin:
    """ASGI middleware. `origins()` is asked once, at the first request of another origin: the host
    is made after the app."""

    def __init__(self, app: ASGIApp, origins: Callable[[], Sequence[str]]) -> None:
        self._inner, self._origins = app, origins
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "origin" not in Headers(scope=scope):
            await self._inner(scope, receive, send)
            return
        if self._app is None:
            self._app = self._build(self._origins())
        await self._app(scope, receive, send)

    def _build(self, origins: Sequence[str]) -> ASGIApp:
        if not origins:
            return self._inner
        return CORSMiddleware(
            self._inner,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("content-type", request_id.HEADER),
            expose_headers=(request_id.HEADER, "retry-after"),
            max_age=MAX_AGE,
        )
