"""One row under way: the adapters leased to it, the plan by which it is answered, and the future
that gives its answer.

A row ends in one place, `_ended`, whatever ended it: an answer, its error, or a client that has
gone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from polygraft.errors import PolygraftError
from polygraft.runtime.futures import Promise, settle
from polygraft.runtime.loaded import Lease
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks.serving import RowPlan


@dataclass(eq=False)
class RowWork:
    """A row, the `place`-th of its call, with all that is held for it until it ends. Cancelling
    `answer` drops the row: what of it waits is not computed, and the result of what runs is thrown
    away. Under `key` its answer is kept for rows that are the same; None: it is not."""

    row: Row
    place: int
    lease: Lease
    plan: RowPlan
    key: Hashable | None = None
    answer: Future[Answer | PolygraftError] = field(default_factory=Promise)
    _parts: list[Future[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answer.add_done_callback(self._ended)

    def waits_for(self, parts: Sequence[Future[Any]]) -> None:
        """What the answer is made of; cancelled when the row ends before them."""
        self._parts += parts
        if self.answer.done():
            self._ended(self.answer)

    def end(self, answer: Answer | PolygraftError) -> None:
        """Give the row its answer, or its error."""
        settle(self.answer, answer)

    def _ended(self, _: Future[Answer | PolygraftError]) -> None:
        for part in self._parts:
            part.cancel()
        self.lease.release()
