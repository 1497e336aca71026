"""The scheduler: rows of all requests in one queue, batched by length within a token budget.

BentoML's adaptive batcher concatenates lists: it knows no lengths and no adapters, and one bad item fails its batch.
Here rows are validated before they are queued. Each batch starts with the oldest row and is filled with the rows nearest
to it in length, so that little is padded and nothing starves. One thread runs the batches: the session uses every core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class Queued(Generic[Result]):
    """A payload, its length in tokens, and where its result goes."""

    payload: object
    length: int
    future: Future[Result] = field(default_factory=Future)


def fill(rows: Sequence[Queued[Result]], budget: int, max_rows: int) -> list[Queued[Result]]:
    """The next batch, by length: the first row and those nearest to it in length, padded tokens within `budget`."""
    oldest = rows[0]
    longest, batch = oldest.length, [oldest]
    for row in sorted(rows[1:], key=lambda r: abs(r.length - oldest.length)):
        widest = max(longest, row.length)
        if len(batch) >= max_rows or widest * (len(batch) + 1) > budget:
            break
        batch.append(row)
        longest = widest
    return sorted(batch, key=lambda r: r.length)


class Scheduler(Generic[Result]):
    """Calls `run(payloads)` from its own thread; `run` returns one result a payload, in order."""

    def __init__(self, run: Callable[[list[object]], Sequence[Result]], *, budget: int = 2048, max_rows: int = 64) -> None:
        self._run, self.budget, self.max_rows = run, budget, max_rows
        self._pending: list[Queued[Result]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="polygraft-scheduler", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[tuple[object, int]]) -> list[Future[Result]]:
        """Queue (payload, length) rows and return their futures."""
        queued: list[Queued[Result]] = [Queued(payload, length) for payload, length in rows]
        with self._wake:
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            self._pending += queued
            self._wake.notify()
        return [q.future for q in queued]

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._pending and not self._closed:
                    self._wake.wait()
                if not self._pending:
                    return
                batch = fill(self._pending, self.budget, self.max_rows)
                taken = set(map(id, batch))
                self._pending = [q for q in self._pending if id(q) not in taken]
            try:
                results = self._run([q.payload for q in batch])
            except Exception as error:
                for q in batch:
                    q.future.set_exception(error)
            else:
                for q, result in zip(batch, results, strict=True):
                    q.future.set_result(result)
