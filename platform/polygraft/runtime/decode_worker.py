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

from polygraft.runtime.decode import DecoderBatch, DecodeRequest
from polygraft.runtime.futures import Promise, fail, settle
from polygraft.runtime.niceness import add_niceness
from polygraft.runtime.search import Hypothesis

log = logging.getLogger(__name__)
MAX_ROWS, AFFINITY = 64, 4
Listener = Callable[[list[int]], None]


@dataclass(eq=False)
class DecodeJob:
    """A request, who hears its tokens as they come, and where its hypotheses go."""

    request: DecodeRequest
    listener: Listener | None
    future: Future[list[Hypothesis]] = field(default_factory=Promise)

    @property
    def beam(self) -> int:
        return self.request.search.beam

    @property
    def slots(self) -> set[int]:
        return {slot for slot, _ in self.request.stack}


class DecodeWorkers:
    """`submit` may be called from any thread."""

    def __init__(
        self,
        new_batch: Callable[[], DecoderBatch],
        count: int,
        max_rows: int = MAX_ROWS,
        niceness: int = 0,
    ) -> None:
        self._workers = [DecodeWorker(new_batch, max_rows, i, niceness) for i in range(count)]

    def submit(
        self, request: DecodeRequest, listener: Listener | None = None
    ) -> Future[list[Hypothesis]]:
        """Queue a text with the worker that has the least to do, or, where the difference is small,
        one that writes with the same adapter already: the fewer adapters a worker has, the less
        each of its steps costs. `listener` hears the tokens so far after every step, in the
        worker's thread: it must be quick. Cancel the future to drop the text."""
        job = DecodeJob(request, listener)
        slots = job.slots

        def cost(worker: DecodeWorker) -> int:
            return worker.load + (0 if worker.writes_with(slots) else AFFINITY)

        min(self._workers, key=cost).submit(job)
        return job.future

    def close(self) -> None:
        """Drop what is written and what waits, and stop."""
        for worker in self._workers:
            worker.close()


class DecodeWorker:
    """One thread and its batch. Every method may be called from any thread."""

    def __init__(
        self, new_batch: Callable[[], DecoderBatch], max_rows: int, number: int, niceness: int = 0
    ) -> None:
        self._niceness = niceness
        self._new_batch, self._batch, self._max_rows = new_batch, new_batch(), max_rows
        self._queue: OrderedDict[int, DecodeJob] = OrderedDict()  # by the job's id
        self._suspects: deque[DecodeJob] = deque()  # of a batch that failed: written one by one
        self._open: dict[int, DecodeJob] = {}  # by the request's id
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

    def submit(self, job: DecodeJob) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the decode workers are closed")
            self._queue[id(job)] = job
            self._count(job, 1)
            self._wake.notify()
        job.future.add_done_callback(lambda _: self._ended(job))

    def close(self) -> None:
        with self._wake:
            self._closed = True
            unfinished = [*self._queue.values(), *self._suspects, *self._open.values()]
            self._wake.notify()
        for job in unfinished:
            job.future.cancel()
        self._thread.join()

    def _count(self, job: DecodeJob, sign: int) -> None:
        """Add a job to the load, or with `sign` -1 take it off."""
        self._load += sign * job.beam
        for slot in job.slots:
            self._slots[slot] += sign

    def _ended(self, job: DecodeJob) -> None:
        """Written, failed or cancelled; one that still waits leaves the queue."""
        with self._wake:
            self._count(job, -1)
            self._queue.pop(id(job), None)

    def _loop(self) -> None:
        add_niceness(self._niceness)
        while True:
            with self._wake:
                while not (self._queue or self._suspects or self._open or self._closed):
                    self._wake.wait()
                if not (self._queue or self._suspects or self._open):
                    return
                joining = self._admit()
                self._open |= {id(job.request): job for job in joining}
            try:
                self._drop_cancelled()
                if new := [job.request for job in joining if id(job.request) in self._open]:
                    self._batch.add(new)
                if self._open:
                    self._step()
            except Exception as error:
                self._retry_alone(error)

    def _admit(self) -> list[DecodeJob]:
        """Jobs whose rows still fit; a lone text always does, and a suspect is alone."""
        if self._suspects:
            return [] if self._open else [self._suspects.popleft()]
        if not self._batch.may_join:
            return []
        joining: list[DecodeJob] = []
        rows = self._batch.rows
        while self._queue:
            key, job = next(iter(self._queue.items()))
            if rows and rows + job.beam > self._max_rows:
                break
            del self._queue[key]
            joining.append(job)
            rows += job.beam
        return joining

    def _drop_cancelled(self) -> None:
        cancelled = {key for key, job in self._open.items() if job.future.cancelled()}
        if cancelled:
            self._batch.drop(cancelled)
            for key in cancelled:
                del self._open[key]

    def _step(self) -> None:
        for request, hypotheses in self._batch.step():
            settle(self._open.pop(id(request)).future, hypotheses)
        for request, tokens in self._batch.written():
            job = self._open[id(request)]
            if job.listener is not None:
                try:
                    job.listener(tokens)
                except Exception:
                    log.exception("a listener failed; its text is written on unheard")
                    job.listener = None

    def _retry_alone(self, error: Exception) -> None:
        """After a failed step: a text that was alone has failed; of several, each is tried again
        alone."""
        jobs = list(self._open.values())
        self._open.clear()
        self._batch = self._new_batch()
        if len(jobs) == 1:
            log.error("a text could not be written", exc_info=error)
            fail(jobs[0].future, error)
            return
        log.warning(
            "a decoding step of %d texts failed (%s); each is written again alone", len(jobs), error
        )
        with self._wake:
            self._suspects += jobs
