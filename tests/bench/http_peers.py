"""What one server of many adapters is worth over HTTP: the bundled classifiers mixed, against three
other ways to serve them, each in a process of its own on the same cores.

    python tests/bench/http_peers.py [--seconds 6] [--rounds 3]

| contender | what serves |
|---|---|
| polygraft | `polygraft serve`, lexical parts and all |
| merged | FastAPI and a merged int8 session an adapter: of a request the rows of each adapter are a
batch, in a pool of threads |
| peft | FastAPI and PEFT's mixed batch (float32, `adapter_names=`), a request's rows together |
| bentoml | BentoML's own batching (`batchable=True`) over requests, merged int8 sessions |

The bare int8 graph, copied, stands in for merged ones: it computes as much. Peers answer with the
label of the adapter's head. Real lengths; two clients with 32 rows a request, and 32 clients with
one. JSON line last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx

sys.path.insert(0, str(Path(__file__).parent))
import peers
from server import messages, running

from polygraft.architectures.folder import default_backbone


@contextlib.contextmanager
def peer(kind: str, bare: Path) -> Iterator[str]:
    """One of `peers` in its own process; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PEER": kind, "PEER_BARE": str(bare)}
    server = subprocess.Popen(
        [sys.executable, "peers.py", str(port)],
        cwd=Path(__file__).parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz", timeout=2).is_success:
                    break
            if server.poll() is not None:
                raise RuntimeError(f"{kind} did not start")
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


def rate(
    url: str, path: str, bodies: list[tuple[bytes, int]], clients: int, seconds: float
) -> float:
    """Rows a second."""
    done = 0

    async def ask(http: aiohttp.ClientSession, client: int, until: float) -> None:
        nonlocal done
        turn = client
        while time.perf_counter() < until:
            body, rows = bodies[turn % len(bodies)]
            async with http.post(url + path, data=body, headers=JSON) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{url}{path} answered {response.status}")
            done += rows
            turn += clients

    async def everyone() -> float:
        started = time.perf_counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(ask(http, i, started + seconds) for i in range(clients)))
        return time.perf_counter() - started

    taken = asyncio.run(everyone())
    return done / taken


JSON = {"content-type": "application/json"}


def bodies(size: int) -> list[tuple[bytes, int]]:
    """Requests of `size` rows with the same texts and adapters for every contender."""
    texts, made = messages(), list[tuple[bytes, int]]()
    for start in range(0, min(len(texts), 40 * size) - size, size):
        rows = [
            {"adapter": peers.ADAPTERS[(start + i) % len(peers.ADAPTERS)], "text": text}
            for i, text in enumerate(texts[start : start + size])
        ]
        made.append((json.dumps({"rows": rows}).encode(), size))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        bare = peers.export_bare(default_backbone(), Path(name))
        with contextlib.ExitStack() as stack:
            urls = {"polygraft": stack.enter_context(running())[0]}
            for kind in peers.KINDS:
                urls[kind] = stack.enter_context(peer(kind, bare))
            for _ in range(options.rounds):
                for contender, url in urls.items():
                    path = "/v1/classify" if contender == "polygraft" else "/rows"
                    for size, clients in ((32, 2), (1, 32)):
                        sent = bodies(size)
                        rows = rate(url, path, sent, clients, options.seconds)
                        key = f"{size}_rows_{clients}_clients"
                        rates.setdefault(contender, {}).setdefault(key, []).append(rows)
    medians: dict[str, Any] = {
        contender: {key: round(statistics.median(values)) for key, values in by_size.items()}
        for contender, by_size in rates.items()
    }
    for contender, by_size in medians.items():
        print(f"{contender:10}", by_size)
    print(json.dumps({"bench": "http_peers", "adapters": peers.ADAPTERS, "rows_a_second": medians}))


if __name__ == "__main__":
    main()
