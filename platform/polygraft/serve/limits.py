"""How large a request may be: the bytes of its body, and its rows. (How many may come at once:
`door`.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polygraft.errors import TooLarge, TooManyRows
from polygraft.serve.settings import Settings


def check_count(settings: Settings, rows: int) -> None:
    """Raises `TooManyRows` for more rows than a request may hold."""
    if rows > settings.max_rows:
        raise TooManyRows(
            f"{rows} rows in one request, at most {settings.max_rows} are taken; send several "
            "requests"
        )


class BodyLimit:
    """ASGI middleware. `largest()` bytes, or what `by_path` says: beyond it reading the body raises
    `TooLarge`. Starlette has such a middleware, but answers with plain text where every other error
    of ours is JSON, whatever the handlers say."""

    def __init__(
        self, app: ASGIApp, largest: Callable[[], int], by_path: Mapping[str, int]
    ) -> None:
        self.app, self.largest, self.by_path = app, largest, by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        size = int(declared) if declared.isdecimal() else 0
        read = 0

        async def receive_within() -> Message:
            nonlocal read
            largest = self.by_path.get(scope["path"]) or self.largest()
            message: Message = {"type": "http.request"} if size > largest else await receive()
            read += len(message.get("body", b""))
            if max(size, read) > largest:
                raise TooLarge(
                    f"the body is larger than {largest / 2**20:g} MiB; send several requests"
                )
            return message

        await self.app(scope, receive_within, send)
