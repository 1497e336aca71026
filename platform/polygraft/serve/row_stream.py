"""Rows by the thousand in one request, a line of JSON each, answered a line each while they come.

Rows are read as they arrive and answered in blocks, in order: of so few that none has to wait long
for the others, nor is refused for the sake of them. Where there is no room in the engine a block
waits its turn, as long as a request may wait. Nothing of a stream is kept once it was sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from polygraft.errors import InvalidRow, Overloaded, PolygraftError, SlowBody
from polygraft.runtime.admission import units
from polygraft.runtime.rows import Row
from polygraft.serve.answers import Answered, answer, results
from polygraft.serve.host import Host
from polygraft.serve.lines import Line, Lines
from polygraft.serve.rows import read_row

log = logging.getLogger(__name__)
BLOCK, AHEAD = 64, 4  # units of work that are answered together, or one row; blocks under way
TURN, TURN_EACH = 0.05, 0.0005
"""Seconds after which a block that found no room tries again, and what each other one that waits
adds: looking costs the event loop the same however many wait."""
MEDIA_TYPE = "application/x-ndjson"
Rows = Sequence[Row | PolygraftError]


class RowStream(Response):
    """Answers the body that it is called with."""

    media_type = MEDIA_TYPE
    _waiting: ClassVar[int] = 0  # blocks of all streams that found no room

    def __init__(self, host: Host, top_k: int | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._host, self._top_k = host, top_k
        self._seconds = host.settings.timeout
        self._under_way: deque[tuple[int, asyncio.Task[bytes]]] = deque()  # with their rows

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
            for _, task in self._under_way:
                task.cancel()

    async def _parts(self, lines: Lines) -> AsyncIterator[bytes]:
        """Some lines of the answer at a time."""
        place, ended, blocks = 0, False, deque[Rows]()
        while not ended or self._under_way:
            try:
                while not ended and len(self._under_way) < AHEAD:
                    if not blocks:
                        taken = await lines.take(BLOCK, wait=not self._under_way)
                        blocks.extend(self._blocks([_row(line) for line in taken]))
                    if not blocks:
                        ended = not self._under_way
                        break
                    block = blocks.popleft()
                    task = asyncio.create_task(self._answered(place, block))
                    self._under_way.append((len(block), task))
                    place += len(block)
            except SlowBody as error:
                yield _line({"error": error.payload()})
                return
            if self._under_way:
                count, task = self._under_way[0]
                yield await task
                self._under_way.popleft()
                lines.answered(count)

    def _blocks(self, rows: Rows) -> Iterator[Rows]:
        """The rows in order, those together that are little work."""
        most = min(BLOCK, self._host.engine.admission.capacity or BLOCK)
        block, size = list[Row | PolygraftError](), 0
        for row in rows:
            row_size = _units(row)
            if block and size + row_size > most:
                yield block
                block, size = [], 0
            block.append(row)
            size += row_size
        if block:
            yield block

    async def _answered(self, place: int, rows: Rows) -> bytes:
        """The answers of the rows, the first of which is the `place`-th of the body."""
        found = results(rows, await self._answers(rows))
        return b"".join(
            _line({"row": place + i} | result.model_dump(exclude_none=True))
            for i, result in enumerate(found)
        )

    async def _answers(self, rows: Rows) -> list[Answered]:
        loop = asyncio.get_running_loop()
        until, size = loop.time() + self._seconds, sum(map(_units, rows))
        while True:
            left = until - loop.time()
            try:
                self._host.engine.admission.check_patient(size)
                return await answer(self._host, rows, self._top_k, seconds=left)
            except Overloaded as error:
                if left < TURN:
                    return [row if isinstance(row, PolygraftError) else error for row in rows]
                await self._turn()
            except PolygraftError as error:
                return [row if isinstance(row, PolygraftError) else error for row in rows]

    async def _turn(self) -> None:
        """Wait a while for room."""
        RowStream._waiting += 1
        try:
            await asyncio.sleep(TURN + RowStream._waiting * TURN_EACH)
        finally:
            RowStream._waiting -= 1


def _row(line: Line) -> Row | PolygraftError:
    if isinstance(line, InvalidRow):
        return line
    try:
        return read_row(json.loads(line))
    except (ValueError, RecursionError):
        return InvalidRow(
            'the line is not JSON; send a row a line, like {"adapter": "spam-en", "text": "hello"}'
        )


def _units(row: Row | PolygraftError) -> int:
    return units(row) if isinstance(row, Row) else 0


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
