"""Decode workers: threads that write texts, one a core, each with its own batch of unfinished
texts.

A worker takes new texts in between two steps, at every fourth (see `DecoderBatch.may_join`), as
long as its batch has rows free, so a short text never waits for a long one. A text whose future is
cancelled leaves before the next step. When a step fails, each text of the batch is written again by
itself, so that only those that fail alone have failed. Does not: encode, choose adapters (see
`engine`), or bound its queue (see `admission`).
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecoderSession, Text
from polygraft.runtime.futures import Promise, fail, settle
from polygraft.runtime.niceness import add_niceness
from polygraft.runtime.search import Hypothesis

log = logging.getLogger(__name__)
MAX_ROWS, AFFINITY = 64, 4
Listener = Callable[[list[int]], None]


@dataclass(eq=False)
class _Waiting:
    text: Text
    listener: Listener | None
    future: Future[list[Hypothesis]] = field(default_factory=Promise)

    @property
    def slots(self) -> set[int]:
        return {slot for slot, _ in self.text.stack}


class DecodeWorkers:
    """`submit` may be called from any thread."""

    def __init__(
        self,
        session: DecoderSession,
        bank: Bank,
        end: int,
        count: int,
        max_rows: int = MAX_ROWS,
        niceness: int = 0,
    ) -> None:
        self._workers = [
            DecodeWorker(lambda: DecoderBatch(session, bank, end), max_rows, i, niceness)
            for i in range(count)
        ]

    def submit(self, text: Text, listener: Listener | None = None) -> Future[list[Hypothesis]]:
        """Queue a text with the worker that has the least to do, or, where the difference is small,
        one that writes with the same adapter already: the fewer adapters a worker has, the less
        each of its steps costs. `listener` hears the tokens so far after every step, in the
        worker's thread: it must be quick. Cancel the future to drop the text."""
        waiting = _Waiting(text, listener)
        slots = waiting.slots
        min(
            self._workers,
            key=lambda worker: worker.load + (0 if worker.writes_with(slots) else AFFINITY),
        ).submit(waiting)
        return waiting.future

    def close(self) -> None:
        """Drop what is written and what waits, and stop."""
        for worker in self._workers:
            worker.close()


class DecodeWorker:
    def __init__(
        self, new_batch: Callable[[], DecoderBatch], max_rows: int, number: int, niceness: int = 0
    ) -> None:
        self._niceness = niceness
        self._new_batch, self._batch, self._max_rows = new_batch, new_batch(), max_rows
        self._queue: OrderedDict[int, _Waiting] = OrderedDict()
        self._suspects: deque[_Waiting] = deque()  # of a batch that failed: written one by one
        self._open: dict[int, _Waiting] = {}
        self._wake = threading.Condition()
        self._load, self._slots = 0, Counter[int]()  # of the texts being written and waiting
        self._closed = False
        self._thread = threading.Thread(
            target=self._loop, name=f"polygraft-decode-{number}", daemon=True
        )
        self._thread.start()

    @property
    def load(self) -> int:
        """Rows being written and waiting."""
        return self._load

    def writes_with(self, slots: set[int]) -> bool:
        """Whether each of `slots` is used by a text being written or waiting."""
        with self._wake:
            return all(self._slots[slot] > 0 for slot in slots)

    def submit(self, waiting: _Waiting) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the decode workers are closed")
            self._queue[id(waiting)] = waiting
            self._count(waiting, 1)
            self._wake.notify()
        waiting.future.add_done_callback(lambda _: self._ended(waiting))

    def close(self) -> None:
        with self._wake:
            self._closed = True
            left = [*self._queue.values(), *self._suspects, *self._open.values()]
            self._wake.notify()
        for waiting in left:
            waiting.future.cancel()
        self._thread.join()

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self._load += sign * waiting.text.search.beam
        for slot in waiting.slots:
            self._slots[slot] += sign

    def _ended(self, waiting: _Waiting) -> None:
        """Written, failed or cancelled; one that still waits leaves the queue."""
        with self._wake:
            self._count(waiting, -1)
            self._queue.pop(id(waiting), None)

    def _loop(self) -> None:
        add_niceness(self._niceness)
        while True:
            with self._wake:
                while not (self._queue or self._suspects or self._open or self._closed):
                    self._wake.wait()
                if not (self._queue or self._suspects or self._open):
                    return
                joining = self._admit()
                self._open |= {id(w.text): w for w in joining}
            try:
                self._drop_cancelled()
                if new := [w.text for w in joining if id(w.text) in self._open]:
                    self._batch.add(new)
                if self._open:
                    self._step()
            except Exception as error:
                self._failed(error)

    def _admit(self) -> list[_Waiting]:
        """Texts whose rows still fit; a lone text always does, and a suspect is alone."""
        if self._suspects:
            return [] if self._open else [self._suspects.popleft()]
        if not self._batch.may_join:
            return []
        joining: list[_Waiting] = []
        rows = self._batch.rows
        while self._queue:
            key, waiting = next(iter(self._queue.items()))
            beam = waiting.text.search.beam
            if rows and rows + beam > self._max_rows:
                break
            del self._queue[key]
            joining.append(waiting)
            rows += beam
        return joining

    def _drop_cancelled(self) -> None:
        gone = {key for key, w in self._open.items() if w.future.cancelled()}
        if gone:
            self._batch.drop(gone)
            for key in gone:
                del self._open[key]

    def _step(self) -> None:
        for text, hypotheses in self._batch.step():
            settle(self._open.pop(id(text)).future, hypotheses)
        for text, tokens in self._batch.written():
            waiting = self._open[id(text)]
            if waiting.listener is not None:
                try:
                    waiting.listener(tokens)
                except Exception:
                    log.exception("a listener failed; its text is written on unheard")
                    waiting.listener = None

    def _failed(self, error: Exception) -> None:
        """A text that was alone has failed; of several, each is tried again alone."""
        here = list(self._open.values())
        self._open.clear()
        self._batch = self._new_batch()
        if len(here) == 1:
            log.error("a text could not be written", exc_info=error)
            fail(here[0].future, error)
            return
        log.warning(
            "a decoding step of %d texts failed (%s); each is written again alone", len(here), error
        )
        with self._wake:
            self._suspects += here
