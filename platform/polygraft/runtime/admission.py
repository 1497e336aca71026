"""Admission: how much work may be under way, and what is said to those for whom there is no room.

Work is counted in units of `UNIT` characters of a row's text, at least one a row, since that is known before anything is
computed: a short message is one unit, a page of text to translate is ten or more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable

from polygraft.errors import Overloaded

UNIT = 200
SHORTEST_WAIT, LONGEST_WAIT = 1, 60


def units(texts: Iterable[object]) -> int:
    """What rows with these texts count."""
    return sum(max(1, -(-len(text) // UNIT)) if isinstance(text, str) else 1 for text in texts)


class Admission:
    """`capacity` units at most are under way; None: no bound. An idle engine takes work of any size. Thread-safe."""

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self._under_way = 0
        self._done = 0
        self._busy_since = time.monotonic()
        self._lock = threading.Lock()

    @property
    def under_way(self) -> int:
        """Units taken in and not yet given back."""
        return self._under_way

    def check(self, units: int) -> None:
        """Raise `Overloaded` when there is no room for so much work now."""
        if self.capacity is not None and 0 < self._under_way > self.capacity - units:
            raise Overloaded(self._under_way, self._wait())

    def take(self, units: int) -> None:
        """Take work in; `give_back` the same number when it has ended. Raises `Overloaded` when there is no room for it."""
        with self._lock:
            self.check(units)
            if self._under_way == 0:
                self._busy_since, self._done = time.monotonic(), 0
            self._under_way += units

    def give_back(self, units: int) -> None:
        with self._lock:
            self._under_way -= units
            self._done += units

    def _wait(self) -> int:
        """Seconds until what is under way will have been done, at the speed since the engine was idle last."""
        speed = self._done / max(time.monotonic() - self._busy_since, 1e-3)
        seconds = self._under_way / speed if speed else LONGEST_WAIT
        return math.ceil(min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT))
