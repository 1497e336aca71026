"""Translations as they grow, as server-sent events. No thread waits. A client that leaves ends the
writing.

    event: progress   {"row", "sentence", "text", "before", "after", "final"}
    event: result     {"row", ...} as in the answer that is not streamed
    event: error      {"row", "error"}, and "adapter" where one was found for the text

Sentences of a row are written side by side, each known by its index. The `before + text + after` of
a row's sentences, in order, are the row's translation, as far as it is written. Of a client that
reads slowly only the newest text of each sentence is kept; its `final` one is always sent, before
the `result` of its row.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from polygraft.errors import PolygraftError
from polygraft.runtime.rows import Progress, Row
from polygraft.serve.answers import Answered, Submission, count
from polygraft.serve.host import Host
from polygraft.serve.rows import row_out
from polygraft.serve.translating import LastSteps


class EventStream(StreamingResponse):
    """Begun by `begin`."""

    def __init__(self, submission: Submission, steps: LastSteps, places: list[int]) -> None:
        super().__init__(self._events(), media_type="text/event-stream")
        self._submission, self._steps, self._places = submission, steps, places
        self._newest: dict[tuple[int, int], Progress] = {}
        self._ended: list[int] = []
        self._changed = asyncio.Event()

    @classmethod
    async def begin(
        cls, host: Host, steps: LastSteps, check: Callable[[Sequence[Answered]], None]
    ) -> EventStream:
        """Queue the rows. `check` is given the answers of those that end at once, which are errors,
        and raises where one is the whole request's. Raises `Overloaded`."""
        places = [i for i, row in enumerate(steps.rows) if isinstance(row, Row)]
        rows = [row for row in steps.rows if isinstance(row, Row)]
        stream = cls(Submission(host, rows, steps.seconds), steps, places)
        loop = asyncio.get_running_loop()

        def heard(progress: Progress) -> None:
            loop.call_soon_threadsafe(stream._hear, progress)

        def ended(number: int, _: object) -> None:
            loop.call_soon_threadsafe(stream._end, number)

        try:
            await stream._submission.submit(heard)
            check([future.result() for future in stream._submission.futures if future.done()])
        except BaseException:  # also of a client that leaves while the text is being tokenised
            stream._submission.abandon()
            raise
        for number, future in enumerate(stream._submission.futures):
            future.add_done_callback(partial(ended, number))
        return stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._submission.abandon()

    def _hear(self, progress: Progress) -> None:
        self._newest[progress.row, progress.part] = progress
        self._changed.set()

    def _end(self, number: int) -> None:
        """Called after `_hear` was for the last time of that row."""
        self._ended.append(number)
        self._changed.set()

    async def _events(self) -> AsyncIterator[str]:
        for place, row in enumerate(self._steps.rows):
            if isinstance(row, PolygraftError):
                yield self._last(place, row)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._submission.seconds
        unfinished = len(self._places)
        while unfinished:
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - loop.time())
            except TimeoutError:
                self._submission.abandon()  # which ends every row
                await self._changed.wait()
            self._changed.clear()
            newest, self._newest = self._newest, {}
            ended, self._ended = self._ended, []
            for progress in newest.values():
                yield self._progress(progress)
            for number in ended:
                answer = self._submission.answer(self._submission.futures[number])
                yield self._last(self._places[number], answer)
            unfinished -= len(ended)

    def _progress(self, progress: Progress) -> str:
        data = {
            "row": self._places[progress.row],
            "sentence": progress.part,
            "text": progress.text,
            "before": progress.before,
            "after": progress.after,
            "final": progress.final,
        }
        return _event("progress", data)

    def _last(self, place: int, last: Answered) -> str:
        """What ends a row."""
        answer, row = self._steps.joined(place, last), self._steps.rows[place]
        count([answer])
        result = row_out(answer, row.adapter if isinstance(row, Row) else None)
        data = {"row": place} | result.model_dump(exclude_none=True)
        return _event("error" if result.error else "result", data)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
