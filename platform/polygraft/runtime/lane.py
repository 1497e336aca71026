"""Lanes: threads that write texts, one a core, each with its own batch of unfinished texts.

A lane takes new texts in between two steps, as long as its batch has rows free, so a short text never waits for a long one.
Does not: encode, or choose adapters (see `engine`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecoderSession, Text
from polygraft.runtime.search import Hypothesis

log = logging.getLogger(__name__)
MAX_ROWS, AFFINITY = 64, 4
Listener = Callable[[list[int]], None]


@dataclass(eq=False)
class _Waiting:
    text: Text
    listener: Listener | None
    future: Future[list[Hypothesis]] = field(default_factory=Future)


class Lanes:
    """`submit` may be called from any thread."""

    def __init__(self, session: DecoderSession, bank: Bank, end: int, count: int, max_rows: int = MAX_ROWS) -> None:
        self._lanes = [_Lane(DecoderBatch(session, bank, end), max_rows, i) for i in range(count)]

    def submit(self, text: Text, listener: Listener | None = None) -> Future[list[Hypothesis]]:
        """Queue a text with the lane that has the least to do, or, where the difference is small, one that writes with the same
        adapter already: the fewer adapters a lane has, the less each of its steps costs. `listener` hears the tokens so far
        after every step, in the lane's thread: it must be quick and must not raise."""
        waiting = _Waiting(text, listener)
        slots = {slot for slot, _ in text.stack}
        min(self._lanes, key=lambda lane: lane.load + (0 if slots <= lane.slots else AFFINITY)).submit(waiting)
        return waiting.future

    def close(self) -> None:
        """Finish what is queued, then stop."""
        for lane in self._lanes:
            lane.close()


class _Lane:
    def __init__(self, batch: DecoderBatch, max_rows: int, number: int) -> None:
        self._batch, self._max_rows = batch, max_rows
        self._queue: deque[_Waiting] = deque()
        self._open: dict[int, _Waiting] = {}
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"polygraft-lane-{number}", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Rows being written and waiting."""
        return self._batch.rows + sum(w.text.search.beam for w in list(self._queue))

    @property
    def slots(self) -> set[int]:
        """Of the texts being written and waiting."""
        return {slot for w in [*self._queue, *self._open.values()] for slot, _ in w.text.stack}

    def submit(self, waiting: _Waiting) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the lanes are closed")
            self._queue.append(waiting)
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._open and not self._closed:
                    self._wake.wait()
                if self._closed and not self._queue and not self._open:
                    return
                joining = self._admit()
            try:
                if joining:
                    self._batch.add([w.text for w in joining])
                    self._open |= {id(w.text): w for w in joining}
                if self._open:
                    self._step()
            except Exception as error:
                log.exception("a decoding batch failed")
                for waiting in [*self._open.values(), *(w for w in joining if id(w.text) not in self._open)]:
                    waiting.future.set_exception(error)
                self._open.clear()
                self._batch.clear()

    def _admit(self) -> list[_Waiting]:
        """Texts whose rows still fit; a lone text always does."""
        joining: list[_Waiting] = []
        rows = self._batch.rows
        while self._queue:
            beam = self._queue[0].text.search.beam
            if rows and rows + beam > self._max_rows:
                break
            waiting = self._queue.popleft()
            if waiting.future.set_running_or_notify_cancel():
                joining.append(waiting)
                rows += beam
        return joining

    def _step(self) -> None:
        for text, hypotheses in self._batch.step():
            self._open.pop(id(text)).future.set_result(hypotheses)
        for text, tokens in self._batch.written():
            waiting = self._open[id(text)]
            if waiting.listener is not None:
                waiting.listener(tokens)
