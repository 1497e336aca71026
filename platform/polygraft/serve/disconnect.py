"""When a client hangs up, its request's handler is cancelled: nothing is computed for nobody."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polygraft.serve.tracked_send import TrackedSend

CLIENT_CLOSED_REQUEST = 499  # as nginx writes it into its log; nobody reads it


class CancelOnDisconnect:
    """ASGI middleware. Handlers see `asyncio.CancelledError` where they wait, and give back what
    they took."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        gone = asyncio.Event()
        watcher: asyncio.Task[None] | None = None
        tracked = TrackedSend(send)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            handler.cancel()

        async def receive_or_gone() -> Message:
            nonlocal watcher
            if watcher is not None:
                await gone.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.disconnect":  # before the body had ended
                gone.set()
                handler.cancel()
            elif not message.get("more_body", False):
                watcher = asyncio.create_task(watch())
            return message

        handler = asyncio.ensure_future(self.app(scope, receive_or_gone, tracked))
        try:
            await handler
        except (asyncio.CancelledError, ClientDisconnect):
            if not gone.is_set():
                raise
            # servers and middlewares outside of this one wait for an answer
            if tracked.status is None:
                await send(
                    {"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []}
                )
                await send({"type": "http.response.body", "body": b""})
        finally:
            if watcher is not None:
                watcher.cancel()
