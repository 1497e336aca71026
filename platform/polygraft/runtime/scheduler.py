"""The scheduler: rows of all requests in one queue, cut into batches that cost little, each
computed by one core.

BentoML's adaptive batcher concatenates lists: it knows no lengths and no adapters, and one bad item
fails its batch. Here rows are validated before they are queued. Each batch starts with one row and
takes those of its kind that are nearest in length, as long as a row costs less in the batch than by
itself (see `cost`). It starts with the oldest row and, every second time, with the oldest of the
call that has the fewest rows waiting: nothing starves, and a message does not wait for a book. Of a
call the longest is the oldest, so that what ends last is short.

One thread a core takes batches from the one queue, without a barrier between them. With few rows
waiting each takes its share, small as that is, and nobody waits for a large batch to end.

A row whose future is cancelled leaves the queue at once. A batch that fails is halved until only
the rows that fail by themselves have failed. Does not: bound the queue (see `admission`).
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from polygraft.runtime.cost import cost
from polygraft.runtime.futures import Promise, fail, settle
from polygraft.runtime.niceness import add_niceness

log = logging.getLogger(__name__)
SMALLEST = 64
"""Tokens of a batch that are never cut into smaller ones: fewer cost more each."""
Payload = TypeVar("Payload")
Result = TypeVar("Result")


class Work(NamedTuple, Generic[Payload]):
    """What is to be queued: a payload, its length in tokens, and its kind. Only rows of a kind are
    computed together."""

    payload: Payload
    length: int
    kind: Hashable = None


@dataclass(eq=False)
class Queued(Generic[Payload, Result]):
    """Work, which call it came with, and where its result goes."""

    payload: Payload
    length: int
    kind: Hashable = None
    call: int = 0
    future: Future[Result] = field(default_factory=Promise)


Rows = OrderedDict[int, Queued[Payload, Result]]


class LengthQueue(Generic[Payload, Result]):
    """Waiting rows, by age, by kind and length, and by call. Adding or dropping a row costs the
    same however many wait; taking a batch costs one look at each length of its kind, and at each
    call. Not thread-safe."""

    def __init__(self) -> None:
        self.tokens = 0
        self._by_age: Rows[Payload, Result] = OrderedDict()
        self._by_length: dict[Hashable, dict[int, Rows[Payload, Result]]] = {}
        self._by_call: dict[int, Rows[Payload, Result]] = {}
        self._batches = 0  # taken so far

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, row: Queued[Payload, Result]) -> None:
        self.tokens += row.length
        self._by_age[id(row)] = row
        of_kind = self._by_length.setdefault(row.kind, {})
        of_kind.setdefault(row.length, OrderedDict())[id(row)] = row
        self._by_call.setdefault(row.call, OrderedDict())[id(row)] = row

    def discard(self, row: Queued[Payload, Result]) -> None:
        """Forget the row, if it still waits."""
        if self._by_age.pop(id(row), None) is not None:
            self.tokens -= row.length
            of_kind = self._by_length[row.kind]
            _remove(of_kind, row.length, row)
            if not of_kind:
                del self._by_length[row.kind]
            _remove(self._by_call, row.call, row)

    def all(self) -> list[Queued[Payload, Result]]:
        return list(self._by_age.values())

    def take(self, budget: float, max_rows: int) -> list[Queued[Payload, Result]]:
        """The next batch, by length: a first row and those nearest to it in length, the older of
        equals first, while each costs less in the batch than apart, and the batch no more than
        `budget`, unless the first alone does."""
        self._batches += 1
        rows = self._by_age if self._batches % 2 else min(self._by_call.values(), key=len)
        first = next(iter(rows.values()))
        longest, batch, spent = first.length, [first], cost(1, first.length)
        of_kind = self._by_length[first.kind]
        for length in sorted(of_kind, key=lambda n: abs(n - longest)):
            padded, apart = max(longest, length), cost(1, length)
            for row in of_kind[length].values():
                if row is first:
                    continue
                together = cost(len(batch) + 1, padded)
                if len(batch) == max_rows or together > budget or together > spent + apart:
                    break
                batch.append(row)
                longest, spent = padded, together
        for row in batch:
            self.discard(row)
        return sorted(batch, key=lambda r: r.length)


def _remove(
    index: dict[int, Rows[Payload, Result]], key: int, row: Queued[Payload, Result]
) -> None:
    del index[key][id(row)]
    if not index[key]:
        del index[key]


class Scheduler(Generic[Payload, Result]):
    """Calls `run(payloads)` from `workers` threads of its own; `run` returns one result a payload,
    in order. `budget` bounds what a batch costs, `niceness` is added to the threads."""

    def __init__(
        self,
        run: Callable[[list[Payload]], Sequence[Result]],
        *,
        workers: int = 1,
        budget: float = 512,
        max_rows: int = 64,
        niceness: int = 0,
    ) -> None:
        self._run, self.budget, self.max_rows = run, budget, max_rows
        self._waiting: LengthQueue[Payload, Result] = LengthQueue()
        self._wake = threading.Condition()
        self._closed, self._calls = False, itertools.count()
        self._threads = [
            threading.Thread(
                target=self._loop, args=[niceness], name=f"polygraft-encode-{i}", daemon=True
            )
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, works: Sequence[Work[Payload]]) -> list[Future[Result]]:
        """Queue the work of a call and return its futures. Cancel one to drop its row."""
        call = next(self._calls)
        queued: list[Queued[Payload, Result]] = [Queued(*work, call) for work in works]
        with self._wake:
            if self._closed:
                raise RuntimeError("the scheduler is closed")
            for row in sorted(queued, key=lambda row: -row.length):
                self._waiting.add(row)
            self._wake.notify(len(queued))
        for row in queued:
            row.future.add_done_callback(partial(self._drop, row))
        return [row.future for row in queued]

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Finish the batches that run, drop what waits, and stop."""
        with self._wake:
            self._closed = True
            waiting = self._waiting.all()
            self._wake.notify_all()
        for row in waiting:
            row.future.cancel()
        for thread in self._threads:
            thread.join()

    def _drop(self, row: Queued[Payload, Result], done: Future[Result]) -> None:
        if done.cancelled():
            with self._wake:
                self._waiting.discard(row)

    def _loop(self, niceness: int) -> None:
        add_niceness(niceness)
        while True:
            with self._wake:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                if not self._waiting:
                    return
                share = max(SMALLEST, self._waiting.tokens / len(self._threads) / 2)
                batch = self._waiting.take(min(share, self.budget), self.max_rows)
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
