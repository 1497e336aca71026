"""What is observed of a name while its route has a canary or a shadow: the last rows of each
version, and the last rows that two versions both answered.

Kept in memory: outcomes, not texts. Does not: judge them (see `comparing`).
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from polygraft.errors import InvalidRow, Overloaded, PolygraftError, TooLarge
from polygraft.runtime.rows import Answer

LAST = 5_000
"""Rows, and pairs, that are kept of each version."""


@dataclass(frozen=True)
class Outcome:
    """How one row ended. `said`: the label, or whatever it answers; `label`: only a label.
    `failed`: an error that was the server's, not the row's. `seconds`: None for a shadow's row, for
    which nobody waited."""

    said: str | None
    label: str | None
    score: float | None
    failed: bool
    seconds: float | None


def outcome(answer: Answer | PolygraftError, seconds: float | None) -> Outcome | None:
    """None for a row that no version could have answered: that tells nothing of this one."""
    if isinstance(answer, InvalidRow | Overloaded | TooLarge):
        return None
    if isinstance(answer, PolygraftError):
        return Outcome(None, None, None, True, seconds)
    summary = answer.summary()
    label, score = summary.get("label"), summary.get("score")
    said = next((str(value) for name, value in summary.items() if name != "score"), None)
    is_label = isinstance(label, str)
    return Outcome(
        said,
        label if is_label else None,
        float(score) if isinstance(score, int | float) else None,
        False,
        seconds,
    )


@dataclass
class Version:
    """`rows` counts all that were observed, `waited` those that a caller waited for; `last` are
    those that are kept."""

    rows: int = 0
    waited: int = 0
    failed: int = 0
    last: deque[Outcome] = field(default_factory=lambda: deque(maxlen=LAST))


@dataclass
class Pairs:
    """What a version and another said of the same rows."""

    rows: int = 0
    last: deque[tuple[Outcome, Outcome]] = field(default_factory=lambda: deque(maxlen=LAST))


class Observations:
    """Of one name. Thread-safe."""

    def __init__(self) -> None:
        self._versions: dict[str, Version] = {}
        self._pairs: dict[tuple[str, str], Pairs] = {}
        self._lock = threading.Lock()

    def add(self, version: str, observed: Outcome) -> int:
        """Returns how many rows of the version callers have waited for so far."""
        with self._lock:
            one = self._versions.setdefault(version, Version())
            one.rows += 1
            one.waited += observed.seconds is not None
            one.failed += observed.failed
            one.last.append(observed)
            return one.waited

    def pair(self, versions: tuple[str, str], outcomes: tuple[Outcome, Outcome]) -> None:
        with self._lock:
            pairs = self._pairs.setdefault(versions, Pairs())
            pairs.rows += 1
            pairs.last.append(outcomes)

    def version(self, version: str) -> Version:
        """A copy."""
        with self._lock:
            one = self._versions.get(version, Version())
            return Version(one.rows, one.waited, one.failed, one.last.copy())

    def pairs(self, first: str, second: str) -> Pairs:
        """A copy; outcomes of `first` come first."""
        with self._lock:
            one = self._pairs.get((first, second))
            if one is not None:
                return Pairs(one.rows, one.last.copy())
            one = self._pairs.get((second, first), Pairs())
            return Pairs(one.rows, deque(((b, a) for a, b in one.last), maxlen=LAST))
