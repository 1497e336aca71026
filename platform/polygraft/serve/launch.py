"""What `polygraft serve` does: check everything first, start BentoML's server, and end with it.

BentoML keeps files in a folder of the user's home that all of his servers share. Here each server
has a folder of its own, which ends with it, so that the home need not be writable. Nothing is
started unless all settings hold and the port is free. It says "ready" when the server it
started answers, and not when something else does on that port.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from types import FrameType

import httpx

from polygraft.errors import SettingsError
from polygraft.serve import process
from polygraft.serve.settings import Settings

ENTRY = "polygraft.serve.service:Polygraft"


class Server:
    """A server on `host` and `port` with the settings of `environment`. Raises `SettingsError` with
    every problem."""

    def __init__(self, host: str, port: int, environment: Mapping[str, str]) -> None:
        problems: list[str] = []
        timeout = 0.0
        try:
            timeout = Settings.from_environment(environment, files=True).timeout
        except SettingsError as error:
            problems += error.problems
        problems += [*port_problems(host, port), *_temporary_problems()]
        if problems:
            raise SettingsError("settings", problems)
        self.url = f"http://{_reachable(host)}:{port}"
        self.token = process.launch_token()
        self._environment = dict(environment) | {
            process.LAUNCH: self.token,
            "BENTOML_DO_NOT_TRACK": "true",
        }
        self._command = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            ENTRY,
            "--host",
            host,
            "--port",
            str(port),
            "--timeout-graceful-shutdown",
            str(math.ceil(timeout)),
        ]

    def run(self, ready: Callable[[str], None]) -> int:
        """Serve until told to stop; `ready(url)` is called once, when the server answers. Returns
        its exit status."""
        with tempfile.TemporaryDirectory(prefix="polygraft-serve-") as folder:
            return self._run(self._environment | {"BENTOML_HOME": folder}, ready)

    def _run(self, environment: dict[str, str], ready: Callable[[str], None]) -> int:
        signal.signal(signal.SIGTERM, _interrupt)
        server = subprocess.Popen(
            self._command, env=environment, process_group=0
        )  # Ctrl-C reaches it through us, once
        try:
            while server.poll() is None and not self._answers():
                time.sleep(0.2)
            if server.poll() is None:
                ready(self.url)
            status = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            with contextlib.suppress(KeyboardInterrupt):
                return _exit_status(server.wait())
            server.kill()  # told twice: at once
            status = server.wait()
        finally:
            if server.poll() is None:
                server.terminate()
        return _exit_status(status)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{self.url}{process.READY}", timeout=2)
            return answer.is_success and answer.headers.get(process.HEADER) == self.token
        return False


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _exit_status(returned: int) -> int:
    """As a shell gives it: 128 and the signal's number for a process that a signal ended."""
    return returned if returned >= 0 else 128 - returned


def port_problems(host: str, port: int) -> list[str]:
    """Why a server cannot listen there."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return [
            f"--host is {host!r}: give an IP address, such as 127.0.0.1, or 0.0.0.0 for every "
            "interface"
        ]
    try:
        with socket.create_server(
            (host, port), family=socket.AF_INET6 if version == 6 else socket.AF_INET
        ):
            return []
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return [
            f"--port is {port}: it cannot be listened on at {host} ({reason}); stop what uses it, "
            "or give another"
        ]


def _temporary_problems() -> list[str]:
    try:
        tempfile.gettempdir()
    except OSError as error:
        return [f"TMPDIR: {error.strerror}; set it to a folder that can be written"]
    return []


def _reachable(host: str) -> str:
    """Of an address to listen on, the one to ask, as it stands in a URL."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"[{address}]" if address.version == 6 else str(address)
