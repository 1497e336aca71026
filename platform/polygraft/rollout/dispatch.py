"""Rows to the engine: each gets its version; those whose version is not in memory wait for it
alone, and the others are answered meanwhile.

A row that the engine gives back at once, since a version that it needs is not there, goes to one of
`LOADERS` threads, which loads what is missing and hands the row in again. What is answered is then
told to whoever observes the name. Does not: know HTTP, or how a version is loaded (see `tiers`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from polygraft.adapters.pointer import CHAMPION
from polygraft.errors import InvalidOption, PolygraftError, RowFailed, UnknownAdapter
from polygraft.rollout.names import Choice, Names, stack_of
from polygraft.rollout.packed import Key
from polygraft.rollout.tiers import Tiers
from polygraft.runtime.admission import units
from polygraft.runtime.engine import FAILED, Listener
from polygraft.runtime.futures import Promise, finished, settle
from polygraft.runtime.rows import Answer, Progress, Row

log = logging.getLogger(__name__)
LOADERS = 2
TRIES = 4
"""How often a row is handed in again: what lies under its adapter may be known only by then, and
what it needs may have left a moment before it was held."""
Answered = Answer | PolygraftError


@dataclass(frozen=True)
class Observed:
    """A row with its answer, as it is told to whoever observes the name."""

    row: Row
    alias: str
    version: str
    answer: Answered
    seconds: float


class Dispatcher:
    """`observe` hears of each answered row of a name with a route, from any thread."""

    def __init__(
        self, names: Names, tiers: Tiers, observe: Callable[[Observed], None] | None = None
    ) -> None:
        self.names, self.tiers, self.engine = names, tiers, tiers.engine
        self._observe = observe
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="polygraft-load")

    def submit(
        self, rows: Sequence[Row], listener: Listener | None = None
    ) -> list[Future[Answered]]:
        """As `Engine.submit`, for rows that name an adapter as a request does. Raises `Overloaded`
        or `TooLarge`."""
        choices: list[Choice | PolygraftError] = [self._choice(row) for row in rows]
        places = [i for i, one in enumerate(choices) if isinstance(one, Choice)]
        chosen = [one for one in choices if isinstance(one, Choice)]
        submitted = self.engine.submit([one.row for one in chosen], moved(listener, places))
        answers: list[Future[Answered]] = [
            finished(one) if isinstance(one, PolygraftError) else Promise() for one in choices
        ]
        began = time.monotonic()
        for place, choice, future in zip(places, chosen, submitted, strict=True):
            if self._may_be_cold(choice.row, future):
                future = self._load(choice.row, moved(listener, [place]))
            answers[place] = self._told(choice, future, began)
        return answers

    def answer(self, rows: Sequence[Row]) -> list[Answered]:
        """As `submit`, and waits."""
        return [future.result() for future in self.submit(rows)]

    def close(self) -> None:
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def _choice(self, row: Row) -> Choice | PolygraftError:
        try:
            return self.names.resolve(row)
        except PolygraftError as error:
            return error

    def _may_be_cold(self, row: Row, future: Future[Answered]) -> bool:
        """Whether the engine may have refused a row only because a version was not in memory; that
        may have come meanwhile, for another row."""
        if not future.done() or future.cancelled():
            return False
        result = future.result()
        if isinstance(result, UnknownAdapter):
            return True
        try:
            return isinstance(result, InvalidOption) and len(self._needed(row)) > 1
        except UnknownAdapter:  # it was removed meanwhile
            return False

    def _needed(self, row: Row) -> list[Key]:
        """The versions that answer a row, as far as they are known: what lies under one is known
        once that is loaded."""
        served = self.names.get(row.adapter)
        key = (row.adapter, row.version or served.champion)
        manifest = served.manifest if key[1] == served.champion else self.tiers.manifest(key)
        if row.stack is None:
            under = stack_of(manifest) if manifest else []
        else:
            under = [
                (entry.adapter, entry.version or self.names.get(entry.adapter).champion)
                for entry in row.stack
            ]
        return [*under, key]

    def _load(self, row: Row, listener: Listener | None) -> Future[Answered]:
        """The answer of a row that has to wait for a version; it counts as work meanwhile."""
        answer: Future[Answered] = Promise()
        size = units(row)
        try:
            self.engine.admission.take(size)
            self._loaders.submit(self._load_and_submit, row, size, listener, answer)
        except PolygraftError as error:
            settle(answer, error)
        except RuntimeError:  # the server is closing
            self.engine.admission.give_back(size)
            answer.cancel()
        return answer

    def _load_and_submit(
        self, row: Row, size: int, listener: Listener | None, answer: Future[Answered]
    ) -> None:
        waiting = True
        try:
            for _ in range(TRIES):
                if answer.cancelled():
                    return
                keys = self._needed(row)
                with self.tiers.protected(keys):
                    for key in keys:
                        self._load_if_there(key, row)
                    if waiting:
                        self.engine.admission.give_back(size)
                        waiting = False
                    (future,) = self.engine.submit([row], listener)
                if not self._may_be_cold(row, future):
                    break
            chain(future, answer)
        except PolygraftError as error:
            settle(answer, error)
        except Exception:
            log.exception("adapter %s could not be loaded for a row", row.adapter)
            settle(answer, RowFailed(FAILED))
        finally:
            if waiting:
                self.engine.admission.give_back(size)

    def _load_if_there(self, key: Key, row: Row) -> None:
        """What lies under the row's adapter may be nowhere: the engine tells that best."""
        try:
            self.tiers.load(key)
        except UnknownAdapter:
            if key[0] == row.adapter:
                raise

    def _told(self, choice: Choice, future: Future[Answered], began: float) -> Future[Answered]:
        """The future with the alias in its answer, and told to whoever observes the name."""
        observed = self._observe and choice.served.pointer.route.aliases
        if choice.alias is None and not observed:
            return future
        answer: Future[Answered] = Promise()

        def ended(done: Future[Answered]) -> None:
            if done.cancelled():
                answer.cancel()
                return
            result = done.result()
            if isinstance(result, Answer) and choice.alias is not None:
                result = replace(result, alias=choice.alias)
            settle(answer, result)
            if observed and self._observe and not answer.cancelled():
                self._observe(self._observed(choice, result, time.monotonic() - began))

        future.add_done_callback(ended)
        answer.add_done_callback(lambda done: done.cancelled() and future.cancel())
        return answer

    def _observed(self, choice: Choice, answer: Answered, seconds: float) -> Observed:
        version = choice.row.version or choice.served.champion
        return Observed(choice.row, choice.alias or CHAMPION, version, answer, seconds)


def moved(listener: Listener | None, places: Sequence[int]) -> Listener | None:
    """A listener to some rows of a call, which hears of their places in it."""
    if listener is None:
        return None

    def heard(progress: Progress) -> None:
        listener(replace(progress, row=places[progress.row]))

    return heard


def chain(source: Future[Any], target: Future[Any]) -> None:
    """`target` ends as `source` does; cancelling it cancels `source`."""

    def ended(done: Future[Any]) -> None:
        if done.cancelled():
            target.cancel()
        else:
            settle(target, done.result())

    source.add_done_callback(ended)
    target.add_done_callback(lambda done: done.cancelled() and source.cancel())
