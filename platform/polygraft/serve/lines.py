"""The lines of a request's body, as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import ClassVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from polygraft.errors import InvalidRow, SlowBody

MAX_LINE = 2**20
MAX_HELD, MAX_HELD_BY_ALL = 16 * 2**20, 64 * 2**20
"""Bytes of lines that are not answered, of one body and of all. Who sends more has to read answers
meanwhile."""
ALWAYS = 2**16  # bytes of one body that are read however much is held of others
OVERHEAD = 128  # bytes that a line takes beside its own
MAX_TAKEN = 2**18
"""Bytes, about, of lines that are taken at once: parsing more would keep the event loop."""
Line = bytes | InvalidRow


class Lines:
    """Read by `read`, in a task of its own, handed out by `take`, and held until they are
    `answered`. Lines of white space alone are left out; one of more than `MAX_LINE` bytes is an
    error in its place."""

    _held_by_all: ClassVar[int] = 0

    def __init__(self, seconds: float) -> None:
        """`seconds`: the longest that the next part of the body may take."""
        self._seconds = seconds
        self._lines: deque[Line] = deque()
        self._sizes: deque[int] = deque()  # of the lines that are not answered
        self._held = self._begun = 0  # bytes: of all, and of the line that has not ended yet
        self._ended = False
        self._failure: Exception | None = None
        self._changed, self._room = asyncio.Event(), asyncio.Event()

    async def read(self, receive: Receive) -> None:
        """Until the body ends, its client is gone or keeps it waiting for too long; `take` raises
        what went wrong."""
        try:
            await self._read(receive)
        except (ClientDisconnect, SlowBody) as error:
            self._failure = error
        finally:
            self._ended = True
            self._changed.set()

    async def take(self, most: int, *, wait: bool) -> list[Line]:
        """The next lines, those that are there, `most` at most. None: all were taken; or, without
        `wait`, none is there yet. Raises `ClientDisconnect` or `SlowBody` once those that came
        before are taken."""
        while wait and not self._lines and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        taken, size = list[Line](), 0
        while self._lines and len(taken) < most and size < MAX_TAKEN:
            taken.append(self._lines.popleft())
            size += _size(taken[-1])
        if wait and not taken and self._failure:
            raise self._failure
        return taken

    def answered(self, count: int) -> None:
        """Let go of the `count` oldest lines."""
        for _ in range(count):
            self._hold(-self._sizes.popleft())
        self._room.set()

    async def _read(self, receive: Receive) -> None:
        rest, too_long, more = bytearray(), False, True
        while more:
            await self._wait_for_room()
            try:
                message = await asyncio.wait_for(receive(), self._seconds)
            except TimeoutError:
                raise SlowBody(
                    f"nothing came for {self._seconds:g} s; the rows before are answered, send the "
                    "others again"
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more = message.get("more_body", False)
            *whole, last = message.get("body", b"").split(b"\n")
            for end in whole:
                self._add(bytes(rest + end), too_long=too_long)
                rest, too_long = bytearray(), False
            rest += last
            if len(rest) > MAX_LINE:
                rest, too_long = bytearray(), True
            self._hold(len(rest) - self._begun)
            self._begun = len(rest)
        self._hold(-self._begun)
        self._add(bytes(rest), too_long=too_long)

    async def _wait_for_room(self) -> None:
        """Raises `SlowBody` when there is none for a line, and no answer to wait for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while self._held > MAX_HELD or (
            self._held > ALWAYS and Lines._held_by_all > MAX_HELD_BY_ALL
        ):
            if self._sizes:
                until = loop.time() + self._seconds
            elif loop.time() > until:
                raise SlowBody(
                    f"too many long lines are being received, and none had ended in "
                    f"{self._seconds:g} s; the rows before are answered, send the others again"
                )
            self._room.clear()
            with suppress(TimeoutError):  # others may have made room
                await asyncio.wait_for(self._room.wait(), 1)

    def _add(self, line: bytes, *, too_long: bool) -> None:
        kept: Line = line
        if too_long or len(line) > MAX_LINE:
            kept = InvalidRow(f"the line is longer than {MAX_LINE / 2**20:g} MiB")
        elif not line.strip():
            return
        self._lines.append(kept)
        self._sizes.append(_size(kept))
        self._hold(self._sizes[-1])
        self._changed.set()

    def _hold(self, size: int) -> None:
        self._held += size
        Lines._held_by_all += size

    def drop(self) -> None:
        """Let go of everything."""
        self._lines.clear()
        self._sizes.clear()
        self._hold(-self._held)


def _size(line: Line) -> int:
    return OVERHEAD + (len(line) if isinstance(line, bytes) else 0)
