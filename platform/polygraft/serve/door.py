"""The door: who may come in when many come at once, so that the event loop always has a moment for a health check.

A request for which there is no room is refused before its body is parsed, and only `READ_AT_ONCE` requests are read and
queued at a time; those who wait for their turn do not keep the loop busy. Under ten times the load that the machine can
take, with every request read as it came, /livez waited for up to 0.8 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.errors import Overloaded, PolygraftError
from polygraft.runtime.admission import UNIT, Admission
from polygraft.serve.failures import refusal

READ_AT_ONCE, MOST_WAITING = 4, 1_000
_let_next_in: ContextVar[Callable[[], None] | None] = ContextVar("let_next_in", default=None)


def queued() -> None:
    """Say that the request being handled is read and queued: the next one may be read."""
    let_next_in = _let_next_in.get()
    if let_next_in is not None:
        let_next_in()


class Door:
    """ASGI middleware. `admission()` is asked about every POST but those to `spared`, by the length of its body."""

    def __init__(self, app: ASGIApp, admission: Callable[[], Admission], spared: str) -> None:
        self.app, self.admission, self.spared = app, admission, spared
        self._places = asyncio.Semaphore(READ_AT_ONCE)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] == self.spared:
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        size = max(1, int(declared) // UNIT) if declared.isdecimal() else 1
        try:
            let_next_in = await self._turn(size)
        except PolygraftError as error:
            await refusal(error, scope["path"])(scope, receive, send)
            return
        token = _let_next_in.set(let_next_in)
        try:
            await self.app(scope, receive, send)
        finally:
            _let_next_in.reset(token)
            let_next_in()

    async def _turn(self, size: int) -> Callable[[], None]:
        """Wait until this request may be read; returns what lets the next one in. Raises `Overloaded`."""
        admission = self.admission()
        admission.check(size)
        if self._waiting >= MOST_WAITING:
            raise Overloaded(admission.under_way, 1)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        left = False

        def let_next_in() -> None:
            nonlocal left
            if not left:
                left = True
                self._places.release()

        try:
            admission.check(size)
        except Overloaded:
            let_next_in()
            raise
        return let_next_in
