"""The scheduler: rows of all requests in one queue, batched by length within a token budget.

BentoML's adaptive batcher concatenates lists: it knows no lengths and no adapters, and one bad item
fails its batch. Here rows are validated before they are queued. Each batch starts with one row and
is filled with the rows nearest to it in length, so that little is padded. It starts with the oldest
row and, every second time, with the oldest of the call that has the fewest rows waiting: nothing
starves, and a message does not wait for a book. One thread runs the batches: the session uses every
core.

A row whose future is cancelled leaves the queue at once. A batch that fails is halved until only
the rows that fail by themselves have failed. Does not: bound the queue (see `admission`).
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from polygraft.runtime.futures import Promise, fail, settle

log = logging.getLogger(__name__)
Payload = TypeVar("Payload")
Result = TypeVar("Result")


@dataclass(eq=False)
class Queued(Generic[Payload, Result]):
    """A payload, its length in tokens, which call it came with, and where its result goes."""

    payload: Payload
    length: int
    call: int = 0
    future: Future[Result] = field(default_factory=Promise)


class LengthQueue(Generic[Payload, Result]):
    """Waiting rows, by age, by length and by call. Adding or dropping a row costs the same however
    many wait; taking a batch costs one look at each length that occurs, and at each call. Not
    thread-safe."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, Queued[Payload, Result]] = OrderedDict()
        self._by_length: dict[int, OrderedDict[int, Queued[Payload, Result]]] = {}
        self._by_call: dict[int, OrderedDict[int, Queued[Payload, Result]]] = {}
        self._batches = 0  # taken so far

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, row: Queued[Payload, Result]) -> None:
        self._by_age[id(row)] = row
        self._by_length.setdefault(row.length, OrderedDict())[id(row)] = row
        self._by_call.setdefault(row.call, OrderedDict())[id(row)] = row

    def discard(self, row: Queued[Payload, Result]) -> None:
        """Forget the row, if it still waits."""
        if self._by_age.pop(id(row), None) is not None:
            _remove(self._by_length, row.length, row)
            _remove(self._by_call, row.call, row)

    def all(self) -> list[Queued[Payload, Result]]:
        return list(self._by_age.values())

    def take(self, budget: int, max_rows: int) -> list[Queued[Payload, Result]]:
        """The next batch, by length: a first row and those nearest to it in length, the older of
        equals first; padded tokens within `budget` unless the first alone is longer."""
        self._batches += 1
        rows = self._by_age if self._batches % 2 else min(self._by_call.values(), key=len)
        first = next(iter(rows.values()))
        longest, batch = first.length, [first]
        self.discard(first)
        for length in sorted(self._by_length, key=lambda n: abs(n - first.length)):
            padded = max(longest, length)
            same_length = self._by_length[length]
            while same_length and len(batch) < max_rows and padded * (len(batch) + 1) <= budget:
                row = next(iter(same_length.values()))
                batch.append(row)
                self.discard(row)
                longest = padded
            if same_length:
                break
        return sorted(batch, key=lambda r: r.length)


def _remove(
    index: dict[int, OrderedDict[int, Queued[Payload, Result]]],
    key: int,
    row: Queued[Payload, Result],
) -> None:
    del index[key][id(row)]
    if not index[key]:
        del index[key]


class Scheduler(Generic[Payload, Result]):
    """Calls `run(payloads)` from its own thread; `run` returns one result a payload, in order."""

    def __init__(
        self,
        run: Callable[[list[Payload]], Sequence[Result]],
        *,
        budget: int = 2048,
        max_rows: int = 64,
    ) -> None:
        self._run, self.budget, self.max_rows = run, budget, max_rows
        self._waiting: LengthQueue[Payload, Result] = LengthQueue()
        self._wake = threading.Condition()
        self._closed, self._calls = False, itertools.count()
        self._thread = threading.Thread(target=self._loop, name="polygraft-scheduler", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[tuple[Payload, int]]) -> list[Future[Result]]:
        """Queue (payload, length) rows and return their futures. Cancel one to drop its row."""
        call = next(self._calls)
        queued: list[Queued[Payload, Result]] = [
            Queued(payload, length, call) for payload, length in rows
        ]
        with self._wake:
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            for row in queued:
                self._waiting.add(row)
            self._wake.notify()
        for row in queued:
            row.future.add_done_callback(partial(self._drop, row))
        return [row.future for row in queued]

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Finish the batch that runs, drop what waits, and stop."""
        with self._wake:
            self._closed = True
            waiting = self._waiting.all()
            self._wake.notify()
        for row in waiting:
            row.future.cancel()
        self._thread.join()

    def _drop(self, row: Queued[Payload, Result], done: Future[Result]) -> None:
        if done.cancelled():
            with self._wake:
                self._waiting.discard(row)

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                if not self._waiting:
                    return
                batch = self._waiting.take(self.budget, self.max_rows)
            self._answer(batch)

    def _answer(self, batch: list[Queued[Payload, Result]]) -> None:
        try:
            results = self._run([row.payload for row in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} rows")
        except Exception as error:
            if len(batch) == 1:
                log.exception("a row failed")
                fail(batch[0].future, error)
                return
            log.warning(
                "a batch of %d rows failed (%s: %s); its halves run again",
                len(batch),
                type(error).__name__,
                error,
            )
            half = len(batch) // 2
            self._answer(batch[:half])
            self._answer(batch[half:])
            return
        for row, result in zip(batch, results, strict=True):
            settle(row.future, result)
