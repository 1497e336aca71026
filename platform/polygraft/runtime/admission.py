"""Admission: how much work may be under way, and how requests are refused when there is no room.

Work is counted in units of `UNIT` characters of a row's text, at least one a row, times its beam,
since that is known before anything is computed: a short message is one unit, a page of text to
translate is ten or more. A row to be explained is also `MAX_VARIANTS` variants of its text, each
cut to about what a backbone reads, 512 tokens.
"""

from __future__ import annotations

import math
import threading
import time

from polygraft.errors import Overloaded, TooLarge
from polygraft.runtime.rows import MAX_VARIANTS, Row

UNIT = 200
MAX_VARIANT = 10  # units: 2,000 characters
MIN_WAIT, MAX_WAIT = 1, 60  # seconds


def units(row: Row) -> int:
    """The work that a row is."""
    if not isinstance(row.text, str):
        return 1
    whole = max(1, math.ceil(len(row.text) / UNIT))
    variants = min(MAX_VARIANTS, len(row.text)) if row.explain else 0
    return (whole + variants * min(whole, MAX_VARIANT)) * row.search.beam


class Admission:
    """`capacity` units at most are under way; None: no bound. Thread-safe."""

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
        """Raise `Overloaded` when there is no room for so much work now, `TooLarge` when there
        never is."""
        if self.capacity is None:
            return
        if units > self.capacity:
            raise TooLarge(
                f"the request holds {units:,} units of work ({UNIT} characters of a row's text, "
                f"times its beam; explained, up to {MAX_VARIANTS} times more), at most "
                f"{self.capacity:,} are taken; send several requests"
            )
        if self._under_way + units > self.capacity:
            raise Overloaded(self._under_way, self._wait())

    def check_patient(self, units: int) -> None:
        """`check` for work that can wait: a quarter of the room is left to what cannot."""
        if self.capacity is not None:
            self.check(max(units, min(units + self.capacity // 4, self.capacity)))

    def take(self, units: int) -> None:
        """Take work in; `give_back` the same number when it has ended. Raises as `check` does."""
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
        """Seconds until what is under way will have been done, at the speed since the engine was
        idle last."""
        speed = self._done / max(time.monotonic() - self._busy_since, 1e-3)
        seconds = self._under_way / speed if speed else MAX_WAIT
        return math.ceil(min(max(seconds, MIN_WAIT), MAX_WAIT))
