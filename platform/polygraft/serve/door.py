"""The door: who may come in when many come at once, so that the event loop always has a moment for
a health check.

A request for which there is no room is refused before its body is read. A body is read whole,
within a time, before its request takes one of the few places in which requests are parsed and
queued: those who are slow, or wait for their turn, keep nobody else from coming in. Under ten times
the load that the machine can take, with every request parsed as it came, /livez waited for up to
0.8 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polygraft.errors import Overloaded, PolygraftError, SlowBody
from polygraft.runtime.admission import UNIT, Admission
from polygraft.serve.failures import refusal

PARSED_AT_ONCE = 4
BODY_SECONDS = 30.0
MAX_HELD = 64 * 2**20  # bytes of bodies that are being read, or wait for their turn
_let_next_in: ContextVar[Callable[[], None] | None] = ContextVar("let_next_in", default=None)


def queued() -> None:
    """Say that the request being handled is read and queued: the next one may be parsed."""
    let_next_in = _let_next_in.get()
    if let_next_in is not None:
        let_next_in()


class Door:
    """ASGI middleware. `admission()` is asked about every POST but those to `spared`, by the length
    of its body."""

    def __init__(
        self, app: ASGIApp, admission: Callable[[], Admission], spared: Collection[str]
    ) -> None:
        self.app, self.admission, self.spared = app, admission, spared
        self._places = asyncio.Semaphore(PARSED_AT_ONCE)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] in self.spared:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            declared = Headers(scope=scope).get("content-length", "")
            self._check(int(declared) if declared.isdecimal() else 0)
            await self._read(receive, body)
            await self._pass(body, scope, receive, send)
        except PolygraftError as error:
            await refusal(error, scope["path"])(scope, receive, send)
        finally:
            self._held -= len(body)

    def _check(self, size: int) -> None:
        """Raise `Overloaded` when there is hardly room for a body of `size` bytes. A guess, which
        never refuses what an idle engine would take: how much work there is in it shows when it is
        parsed."""
        admission = self.admission()
        if admission.capacity is not None:
            admission.check(max(1, min(size // UNIT, admission.capacity // 4)))

    async def _read(self, receive: Receive, body: bytearray) -> None:
        """Read the whole body. Raises `TooLarge` (see `limits`), `SlowBody` or `Overloaded`."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part = message.get("body", b"")
                    body += part
                    self._held += len(part)
                    if self._held > MAX_HELD:
                        raise Overloaded(self.admission().under_way, 1)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise SlowBody(
                f"the body did not arrive within {BODY_SECONDS:g} s; send the request again"
            ) from None

    async def _pass(self, body: bytearray, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a place, and hand the request on with its body. Raises `Overloaded`."""
        await self._places.acquire()
        place_released = False

        def let_next_in() -> None:
            nonlocal place_released
            if not place_released:
                place_released = True
                self._places.release()

        body_passed_on = False

        async def receive_held() -> Message:
            nonlocal body_passed_on
            if body_passed_on:
                return await receive()
            body_passed_on = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        token = _let_next_in.set(let_next_in)
        try:
            self._check(len(body))
            await self.app(scope, receive_held, send)
        finally:
            _let_next_in.reset(token)
            let_next_in()
