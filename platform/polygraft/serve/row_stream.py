"""Rows by the thousand in one request, a line of JSON each, answered a line each while they come.

Rows are read as they arrive and answered in blocks, in order. Where there is no room in the engine
the stream waits its turn, as long as a request may wait. Nothing of it is kept once it was sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from polygraft.errors import InvalidRow, Overloaded, PolygraftError, SlowBody
from polygraft.runtime.rows import Row
from polygraft.serve.answers import Answered, answer, results
from polygraft.serve.host import Host
from polygraft.serve.lines import Line, Lines
from polygraft.serve.rows import read_row

log = logging.getLogger(__name__)
BLOCK, AHEAD = 64, 4  # rows that are answered together; blocks under way
TURN = 0.05  # seconds after which a block that found no room tries again
MEDIA_TYPE = "application/x-ndjson"


class RowStream(Response):
    """Answers the body that it is called with."""

    media_type = MEDIA_TYPE

    def __init__(self, host: Host, top_k: int | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._host, self._top_k = host, top_k
        self._seconds = host.settings.timeout
        self._under_way: deque[asyncio.Task[bytes]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = Lines(self._seconds)
        reading = asyncio.create_task(lines.read(receive))
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            async for part in self._parts(lines):
                message = {"type": "http.response.body", "body": part, "more_body": True}
                await asyncio.wait_for(send(message), self._seconds)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a client has not read its answer for %g s; it is cut off", self._seconds)
        finally:
            reading.cancel()
            lines.drop()
            for task in self._under_way:
                task.cancel()

    async def _parts(self, lines: Lines) -> AsyncIterator[bytes]:
        """Some lines of the answer at a time."""
        place, ended = 0, False
        while not ended or self._under_way:
            try:
                while not ended and len(self._under_way) < AHEAD:
                    block = await lines.take(BLOCK, wait=not self._under_way)
                    if not block:
                        ended = not self._under_way
                        break
                    self._under_way.append(asyncio.create_task(self._answered(place, block)))
                    place += len(block)
            except SlowBody as error:
                yield _line({"error": error.payload()})
                return
            if self._under_way:
                yield await self._under_way[0]
                self._under_way.popleft()

    async def _answered(self, place: int, lines: Sequence[Line]) -> bytes:
        """The answers of the lines, the first of which is the `place`-th of the body."""
        rows = [_row(line) for line in lines]
        found = results(rows, await self._answers(rows))
        return b"".join(
            _line({"row": place + i} | result.model_dump(exclude_none=True))
            for i, result in enumerate(found)
        )

    async def _answers(self, rows: Sequence[Row | PolygraftError]) -> list[Answered]:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while True:
            left = until - loop.time()
            try:
                return await answer(self._host, rows, self._top_k, seconds=left)
            except Overloaded as error:
                if left < TURN:
                    return [row if isinstance(row, PolygraftError) else error for row in rows]
                await asyncio.sleep(TURN)
            except PolygraftError as error:
                return [row if isinstance(row, PolygraftError) else error for row in rows]


def _row(line: Line) -> Row | PolygraftError:
    if isinstance(line, InvalidRow):
        return line
    try:
        return read_row(json.loads(line))
    except (ValueError, RecursionError):
        return InvalidRow(
            'the line is not JSON; send a row a line, like {"adapter": "spam-en", "text": "hello"}'
        )


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
