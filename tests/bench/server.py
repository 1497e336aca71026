"""A real server in its own process, for the benchmarks that speak HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from polygraft.adapters.library import BUNDLED


@contextlib.contextmanager
def running(**environment: str) -> Iterator[tuple[str, int]]:
    """`polygraft serve` on a free port, with these settings, and no answers kept for texts that
    come again unless they say so; gives its address and the process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "polygraft.cli", "serve", "--port", str(port)]
    environment = os.environ | {"POLYGRAFT_CACHE": "0"} | environment
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz", timeout=2).is_success:
                    break
            if server.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.2)
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(timeout=60)


def messages() -> list[str]:
    """SMS messages: the English training rows when POLYGRAFT_DATA is set, else the sample that
    comes with the project."""
    data = os.environ.get("POLYGRAFT_DATA")
    file = (
        Path(data) / "spam" / "en.train.jsonl.gz"
        if data
        else BUNDLED / "questions-en" / "train.jsonl"
    )
    with gzip.open(file, "rt", encoding="utf-8") if data else file.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def resident_mib(pid: int) -> float:
    """Resident memory of a process and all below it."""
    pids, total = [pid], 0
    for one in pids:
        with contextlib.suppress(OSError):
            pids += [
                int(child)
                for task in Path(f"/proc/{one}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf(
                "SC_PAGE_SIZE"
            )
    return total / 2**20


def main() -> None:
    """Starts one and says where, until it is interrupted."""
    with running() as (url, _), contextlib.suppress(KeyboardInterrupt):
        print(url)
        time.sleep(86_400)
