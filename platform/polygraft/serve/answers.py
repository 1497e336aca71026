"""Rows to answers for every endpoint: counted, waited for without a thread, dropped when nobody
waits any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from prometheus_client import Counter

from polygraft.errors import DeadlineExceeded, PolygraftError, TooManyRows
from polygraft.runtime.admission import units
from polygraft.runtime.futures import when_all
from polygraft.runtime.rows import Answer, Row
from polygraft.serve import door
from polygraft.serve.host import Host
from polygraft.serve.schemas import RowOut, row_out

MOST_LABELS = 50_000  # of all rows of a request together
# units of text that are tokenised on the event loop: handing them to a thread would take longer
SMALL = 8
ROWS = Counter("polygraft_rows_total", "Rows answered", ["adapter", "outcome"])
# As many as can run at once: with one for each request, the event loop waited up to 0.5 s for its
# turn under load.
_TOKENISERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="polygraft-tokenise")
Answered = Answer | PolygraftError


def check_count(host: Host, rows: int) -> None:
    """Raises `TooManyRows`."""
    most = host.settings.max_rows
    if rows > most:
        raise TooManyRows(
            f"{rows} rows in one request, at most {most} are taken; send several requests"
        )


class Submission:
    """Rows of one request in the engine, until they are answered or abandoned."""

    def __init__(self, host: Host, rows: Sequence[Row]) -> None:
        self.engine, self.rows, self.timeout = host.engine, rows, host.settings.timeout
        self.futures: list[Future[Answered]] = []
        self._abandoned = False

    async def submit(self, listener: Callable[[str], None] | None = None) -> None:
        """Queue the rows. Raises `Overloaded`."""
        size = sum(map(units, self.rows))
        self.engine.admission.check(size)
        if size <= SMALL:
            self._submit(listener)
        else:
            await asyncio.get_running_loop().run_in_executor(_TOKENISERS, self._submit, listener)
        door.queued()

    def _submit(self, listener: Callable[[str], None] | None) -> None:
        if self._abandoned:
            return
        self.futures = self.engine.submit(self.rows, listener)
        if self._abandoned:  # the client left while this thread was tokenising
            self.abandon()

    def abandon(self) -> None:
        """Drop the rows that are not answered yet."""
        self._abandoned = True
        for future in self.futures:
            future.cancel()

    async def answers(self) -> list[Answered]:
        """Wait for every row. One that takes longer than the timeout is dropped and gets its error;
        the others keep theirs."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(when_all(self.futures)), self.timeout)
        except TimeoutError:
            pass
        finally:
            self.abandon()
        return [self.result(future) for future in self.futures]

    def result(self, future: Future[Answered]) -> Answered:
        """The answer of a row that has ended; one that was dropped ran out of time."""
        if future.cancelled():
            return DeadlineExceeded(
                f"not answered within {self.timeout:g} s; send fewer or shorter texts at once, or "
                "again when the server is "
                "less busy"
            )
        return future.result()


async def answer_rows(host: Host, rows: Sequence[Row]) -> list[Answered]:
    """The engine's answers, in order. Raises `Overloaded`."""
    submission = Submission(host, rows)
    try:
        await submission.submit()
        return await submission.answers()
    finally:
        submission.abandon()


async def answer(
    host: Host, rows: Sequence[Row | PolygraftError], top_k: int | None = None
) -> list[Answered]:
    """`answer_rows`, counted in the metrics; a row that is an error already stays one. `top_k`:
    labels of each row at most."""
    most = max(1, MOST_LABELS // max(1, len(rows)))
    top_k = min(top_k or most, most)
    asked = [replace(row, top_k=top_k) for row in rows if isinstance(row, Row)]
    answered = iter(await answer_rows(host, asked))
    answers = [row if isinstance(row, PolygraftError) else next(answered) for row in rows]
    count(answers)
    return answers


def count(answers: Sequence[Answered]) -> None:
    """Note answers in the metrics."""
    for one in answers:
        if isinstance(one, PolygraftError):
            ROWS.labels("", one.code).inc()
        else:
            ROWS.labels(one.adapter, "ok").inc()


def results(rows: Sequence[Row | PolygraftError], answers: Sequence[Answered]) -> list[RowOut]:
    names = [row.adapter if isinstance(row, Row) else None for row in rows]
    return [row_out(a, n) for a, n in zip(answers, names, strict=True)]
