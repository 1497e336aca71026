"""The shadow: rows that were answered are computed again by another version, which nobody sees.

One thread hands them in, one at a time, only while nothing waits to be encoded; so a caller's row
never waits for more than that one. What comes faster than that is dropped, the oldest
first, and counted. Does not: compare what they say (see `comparing`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from polygraft.errors import PolygraftError
from polygraft.rollout.dispatch import Observed
from polygraft.rollout.names import stack_of
from polygraft.rollout.packed import Key
from polygraft.rollout.tiers import Tiers
from polygraft.runtime.rows import Answer

log = logging.getLogger(__name__)
WAITING = 256
"""Rows that wait for a quiet moment."""
PAUSE = 0.005
CORES = os.cpu_count() or 1


class Shadow:
    """`tell(observed, answer, version)` hears what a version said of a row that another one
    answered."""

    def __init__(
        self, tiers: Tiers, tell: Callable[[Observed, Answer | PolygraftError, str], None]
    ) -> None:
        self._tiers, self._tell = tiers, tell
        self._rows: deque[tuple[Observed, str]] = deque(maxlen=WAITING)
        self._wake, self._closed = threading.Condition(), False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def put(self, observed: Observed, version: str) -> None:
        """Have `version` compute a row too."""
        with self._wake:
            if self._closed:
                return
            self.dropped += len(self._rows) == WAITING
            self._rows.append((observed, version))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="polygraft-shadow", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._rows.clear()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._rows and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                if self._is_busy():
                    self._wake.wait(PAUSE)
                    continue
                observed, version = self._rows.popleft()
            self._compute(observed, version)

    def _is_busy(self) -> bool:
        engine = self._tiers.engine
        return len(engine.encoding) > 0 or engine.admission.under_way >= CORES

    def _compute(self, observed: Observed, version: str) -> None:
        row = replace(observed.row, version=version)
        key: Key = (row.adapter, version)
        try:
            with self._tiers.protected([key]):
                self._tiers.load(key)
                if row.stack is None and (manifest := self._tiers.manifest(key)):
                    for under in stack_of(manifest):
                        self._tiers.load(under)
                (answer,) = self._tiers.engine.answer([row])
            self._tell(observed, answer, version)
        except PolygraftError as error:
            log.warning("the shadow of %s could not answer: %s", row.adapter, error)
        except Exception:
            log.exception("the shadow of %s failed", row.adapter)
