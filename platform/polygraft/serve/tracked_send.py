"""What a middleware notes of the answer that passes it."""

from __future__ import annotations

from starlette.types import Message, Send


class TrackedSend:
    """An ASGI `send`; `status` is that of the answer once it has begun, else None."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
