"""Servers in their own process, on the bundled backbone and adapters."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

Serve = Callable[..., str]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(command, **environment)` starts `command --port N`, waits until it is ready and
    returns its address."""
    servers: list[subprocess.Popen[bytes]] = []
    urls: list[str] = []

    def start(command: list[str], *, cwd: Path | None = None, **environment: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tmp_path_factory.mktemp("server") / "log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POLYGRAFT_")}
        with log.open("wb") as out:
            servers.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command, "--port", str(port)],
                    cwd=cwd,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=inherited | {"BENTOML_DO_NOT_TRACK": "true"} | environment,
                )
            )
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            if servers[-1].poll() is not None:
                break
            try:
                if httpx.get(f"{url}/readyz", timeout=2).is_success:
                    urls.append(url)
                    return url
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"the server did not start:\n{log.read_text()}")

    yield start
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait(timeout=30)
    for url in urls:
        with pytest.raises(httpx.TransportError):  # nothing outlives the command that started it
            httpx.get(f"{url}/livez", timeout=2)
