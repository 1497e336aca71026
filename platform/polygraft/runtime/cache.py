"""Answers that were given before: the same row to the same adapters, in memory, gets the same one.

An answer depends on nothing but its row and the adapters that answer it (see `quantise`), so a
repeated text costs a look-up. Kept are the answers used last, `capacity` of them; of small rows
only, so that what is kept stays small. Does not: keep what is drawn by chance, or an error.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace

from polygraft.runtime.rows import Answer, Row

MAX_CHARACTERS = 2_000
"""Of a row whose answer is kept: about what a backbone reads at once."""
MAX_VALUES = 64
"""Labels, or the like, of an answer that is kept."""


class AnswerCache:
    """`capacity` answers; 0: none. Thread-safe. `hits` counts the rows that were answered by it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = 0
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._answers)

    def key(self, row: Row, adapters: tuple[int, ...]) -> Hashable | None:
        """Under which the answer of `row` by these loaded adapters is kept; None: it is not."""
        drawn = row.search.temperature > 0 and row.search.seed is None
        if not self.capacity or drawn or row.explain or len(row.text) > MAX_CHARACTERS:
            return None
        if row.top_k is not None and row.top_k > MAX_VALUES:
            row = replace(row, top_k=None)  # what is kept of it then is all there is
        return row, adapters

    def get(self, key: Hashable) -> Answer | None:
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
                self.hits += 1
            return answer

    def put(self, key: Hashable, answer: Answer) -> None:
        if answer.size > MAX_VALUES:
            return
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > self.capacity:
                self._answers.popitem(last=False)
