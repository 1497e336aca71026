"""Futures that may be cancelled at any moment by whoever waits for them: given a result, an error,
or joined.

`concurrent.futures.Future` raises when a result is set on one that was cancelled; here that is no
error, since a client may hang up while its row is being computed. Does not: run anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


class Promise(Future[Result]):
    """A future that lets go of its callbacks once it has called them. They hold the row and the row
    holds it: such a circle stays until the garbage collector looks at everything, which stopped all
    threads for 0.4 s, once a second, under overload.
    """

    _done_callbacks: list[Callable[[Future[Result]], object]]

    def _invoke_callbacks(self) -> None:
        super()._invoke_callbacks()  # type: ignore[misc]  # the library has no public place for it
        self._done_callbacks.clear()


def finished(result: Result) -> Future[Result]:
    """A future that has its result."""
    future: Future[Result] = Promise()
    future.set_result(result)
    return future


def settle(future: Future[Result], result: Result) -> None:
    """Give `future` its result, unless it was cancelled or has one."""
    with suppress(InvalidStateError):
        future.set_result(result)


def fail(future: Future[Result], error: BaseException) -> None:
    """Give `future` an error, unless it was cancelled or has a result."""
    with suppress(InvalidStateError):
        future.set_exception(error)


def shared(future: Future[Result], count: int) -> list[Future[Result]]:
    """`count` futures that end as `future` does, each to be cancelled by one who waits for it; when
    all are, `future` is."""
    if count == 1:
        return [future]
    copies: list[Future[Result]] = [Promise() for _ in range(count)]
    wanted, lock = count, threading.Lock()

    def copy_ended(copy: Future[Result]) -> None:
        nonlocal wanted
        if not copy.cancelled():
            return
        with lock:
            wanted -= 1
            nobody_waits = wanted == 0
        if nobody_waits:
            future.cancel()

    def ended(done: Future[Result]) -> None:
        for copy in copies:
            if done.cancelled():
                copy.cancel()
            elif error := done.exception():
                fail(copy, error)
            else:
                settle(copy, done.result())

    for copy in copies:
        copy.add_done_callback(copy_ended)
    future.add_done_callback(ended)
    return copies


def when_all(futures: Sequence[Future[Result]]) -> Future[list[Result]]:
    """A future of every result in order; the first error, or a cancellation as `CancelledError`,
    ends it at once."""
    joined: Future[list[Result]] = Promise()
    unfinished, lock = len(futures), threading.Lock()

    def one_done(done: Future[Result]) -> None:
        nonlocal unfinished
        if done.cancelled():
            joined.cancel()
            return
        error = done.exception()
        if error is not None:
            fail(joined, error)
            return
        with lock:
            unfinished -= 1
            is_last = unfinished == 0
        if is_last:
            settle(joined, [f.result() for f in futures])

    for future in futures:
        future.add_done_callback(one_done)
    if not futures:
        settle(joined, [])
    return joined
