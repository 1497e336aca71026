"""The processes of a server: none outlives the one that started it, and a start that failed is not
tried for ever.

    polygraft serve ── launcher        checks the settings, waits for its server, prints a banner
      └─ bentoml serve ── supervisor   starts a worker, and another one when it dies
           └─ worker                   loads the engine and answers

The launcher and `bentoml serve` may each be the first. A launcher is known by LAUNCH, which it
puts into the environment; its token comes back as a header of /readyz, so the launcher knows
its own server from another one on that port.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LAUNCH = "POLYGRAFT_LAUNCH"
SUPERVISOR = "POLYGRAFT_SUPERVISOR"
HEADER = "x-polygraft-launch"
READY = "/readyz"
_PR_SET_PDEATHSIG = 1
_failed = threading.Event()


def launch_token() -> str:
    """A launcher's value of LAUNCH: its process id, and what nobody else knows before it is
    answered."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def supervise() -> None:
    """Make this process the supervisor: it goes with its launcher, and ends in error once a worker
    has given up."""
    if launcher := os.environ.get(LAUNCH, "").partition("-")[0]:
        _follow(int(launcher), signal.SIGTERM)
    os.environ[SUPERVISOR] = str(os.getpid())

    def end(signum: int, frame: FrameType | None) -> None:
        _failed.set()
        os.kill(os.getpid(), signal.SIGTERM)  # the supervisor's own way to stop

    signal.signal(signal.SIGUSR1, end)
    atexit.register(_end_in_error)


def follow_supervisor() -> None:
    """Make this worker go with its supervisor. At once: only one that was killed itself has left
    its worker running."""
    if _supervised():
        _follow(os.getppid(), signal.SIGKILL)


def give_up(*lines: str, status: int = 1) -> NoReturn:
    """End a process that cannot start, and a worker's supervisor too, which would only try again;
    each of `lines` says why."""
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    sys.stderr.flush()
    if _supervised():
        os.kill(os.getppid(), signal.SIGUSR1)
    os._exit(status)


@contextmanager
def interruptible() -> Iterator[None]:
    """End the process at once when it is told to stop inside: nothing is being answered yet that
    should be finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(s, lambda signum, frame: os._exit(128 + signum)) for s in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


class LaunchHeader:
    """Adds the launcher's token to what READY answers, where there is a launcher."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.token = app, os.environ.get(LAUNCH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start" and self.token:
                MutableHeaders(scope=message)[HEADER] = self.token
            await send(message)

        await self.app(scope, receive, signed if scope.get("path") == READY else send)


def _supervised() -> bool:
    return os.environ.get(SUPERVISOR) == str(os.getppid())


def _end_in_error() -> None:
    if _failed.is_set():
        sys.stderr.flush()
        os._exit(1)


def _follow(parent: int, signum: int) -> None:
    """Get `signum` when `parent` ends, or now when it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum)
    else:
        threading.Thread(target=_watch, args=(parent, signum), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def _watch(parent: int, signum: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signum)


def collect_garbage_seldom() -> None:
    """Leave what is loaded by now out of the garbage collector, and let it look at everything far
    less often.

    Rows hold no circles (`runtime.futures.Promise`), so it finds little; it stops every thread
    meanwhile. With Python's own thresholds and 4,000 rows waiting that was 0.2 to 0.4 s, once a
    second, and /livez waited as long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 5, 100)
