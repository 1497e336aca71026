"""Rows to answers for every endpoint: counted, waited for without a thread, dropped when nobody
waits any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from prometheus_client import Counter

from polygraft.errors import DeadlineExceeded, InvalidOption, PolygraftError, UnknownAdapter
from polygraft.runtime.admission import units
from polygraft.runtime.engine import Listener
from polygraft.runtime.futures import when_all
from polygraft.runtime.rows import Answer, Row
from polygraft.serve import door
from polygraft.serve.host import Host
from polygraft.serve.rows import row_out
from polygraft.serve.schemas.row import RowOut

MAX_LABELS = 50_000  # of all rows of a request together
# Units of text that are tokenised on the event loop: handing them to a thread would take longer.
MAX_UNITS_ON_LOOP = 8
ROWS = Counter("polygraft_rows_total", "Rows answered", ["adapter", "outcome"])
# As many as can run at once: with one for each request, the event loop waited up to 0.5 s for its
# turn under load.
_TOKENISERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="polygraft-tokenise")
Answered = Answer | PolygraftError


class Submission:
    """Rows of one request in the engine, until they are answered or abandoned."""

    def __init__(self, host: Host, rows: Sequence[Row], seconds: float | None = None) -> None:
        """`seconds`: what is left of the request's time, when it has waited for others before."""
        self.engine, self.dispatcher = host.engine, host.rollout.dispatcher
        self.rows, self.timeout = rows, host.settings.timeout
        self.seconds = self.timeout if seconds is None else seconds
        self.futures: list[Future[Answered]] = []
        self._abandoned = False

    async def submit(self, listener: Listener | None = None) -> None:
        """Queue the rows. Raises `Overloaded`."""
        size = sum(map(units, self.rows))
        self.engine.admission.check(size)
        if size <= MAX_UNITS_ON_LOOP:
            self._submit(listener)
        else:
            await asyncio.get_running_loop().run_in_executor(_TOKENISERS, self._submit, listener)
        door.queued()

    def _submit(self, listener: Listener | None) -> None:
        if self._abandoned:
            return
        self.futures = self.dispatcher.submit(self.rows, listener)
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
            await asyncio.wait_for(asyncio.wrap_future(when_all(self.futures)), self.seconds)
        except TimeoutError:
            pass
        finally:
            self.abandon()
        return [self.answer(future) for future in self.futures]

    def answer(self, future: Future[Answered]) -> Answered:
        """The answer of a row that has ended; one that was dropped ran out of time."""
        if future.cancelled():
            return DeadlineExceeded(
                f"not answered within {self.timeout:g} s; send fewer or shorter texts at once, or "
                "again when the server is "
                "less busy"
            )
        return future.result()


async def answer_rows(
    host: Host, rows: Sequence[Row], seconds: float | None = None
) -> list[Answered]:
    """The engine's answers, in order. Raises `Overloaded`."""
    submission = Submission(host, rows, seconds)
    try:
        await submission.submit()
        return await submission.answers()
    finally:
        submission.abandon()


async def answer(
    host: Host,
    rows: Sequence[Row | PolygraftError],
    top_k: int | None = None,
    *,
    seconds: float | None = None,
) -> list[Answered]:
    """`answer_rows`, counted in the metrics; a row that is an error already stays one. `top_k`:
    labels of each row at most."""
    max_labels = max(1, MAX_LABELS // max(1, len(rows)))
    top_k = min(top_k or max_labels, max_labels)
    good_rows = [replace(row, top_k=top_k) for row in rows if isinstance(row, Row)]
    good_answers = iter(await answer_rows(host, good_rows, seconds))
    answers = [row if isinstance(row, PolygraftError) else next(good_answers) for row in rows]
    count(answers)
    return answers


def count(answers: Sequence[Answered]) -> None:
    """Note answers in the metrics."""
    for answer in answers:
        if isinstance(answer, PolygraftError):
            ROWS.labels("", answer.code).inc()
        else:
            ROWS.labels(answer.adapter, "ok").inc()


def raise_if_whole(answers: Sequence[Answered], *, one_text: bool) -> None:
    """Raise the error that is the whole request's, of one that says for all of its texts together
    what is wanted: an adapter that is not there, an option that it cannot take; of one text any."""
    for answer in answers:
        if isinstance(answer, UnknownAdapter | InvalidOption) or (
            one_text and isinstance(answer, PolygraftError)
        ):
            raise answer


def results(rows: Sequence[Row | PolygraftError], answers: Sequence[Answered]) -> list[RowOut]:
    """The answers of `rows` as the API gives them."""
    adapters = [row.adapter if isinstance(row, Row) else None for row in rows]
    return [row_out(a, adapter) for a, adapter in zip(answers, adapters, strict=True)]
