"""Ten times what the server can do, and clients that leave: memory, refusals, health, and the time
until all is well again.

    python tests/bench/overload.py [--seconds 60] [--clients 160]

First the full rate with four clients. Then `clients` connections send 32 rows each as fast as they
are answered or refused; every second request is abandoned after up to 300 ms. /livez is asked twice
a second all the while. Then four clients again, second by second, until the rate is 0.9 of the
first. JSON line last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import httpx

sys.path.insert(0, str(Path(__file__).parent))
from http_rows import JSON, requests_of
from server import resident_mib, running

ROWS = 32


class Load:
    """Clients against one server; `outcomes` counts statuses, `rows` the rows answered."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url
        self.outcomes, self.rows, self.without_retry_after = Counter[str](), 0, 0
        self.bodies = [
            json.dumps({"rows": [{"adapter": r.adapter, "text": r.text} for r in rows], "top_k": 1})
            for rows in requests_of(ROWS)
        ]

    async def ask(self, draw: random.Random, patience: float | None = None) -> int:
        """The status; 0 when the client left after `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                async with self.http.post(
                    f"{self.url}/v1/classify", data=draw.choice(self.bodies), headers=JSON
                ) as response:
                    await response.read()
                    self.rows += ROWS if response.status == 200 else 0
                    self.without_retry_after += (
                        response.status == 503 and "retry-after" not in response.headers
                    )
                    status = response.status
        except TimeoutError:
            self.outcomes["left"] += 1
            return 0
        except aiohttp.ClientConnectionError as error:
            self.outcomes[type(error).__name__] += 1
            return 0
        self.outcomes[str(status)] += 1
        return status

    async def client(self, seed: int, until: float, *, leaves: bool) -> None:
        draw = random.Random(seed)
        while time.perf_counter() < until:
            status = await self.ask(
                draw, draw.random() * 0.3 if leaves and draw.random() < 0.5 else None
            )
            if status == 503:
                await asyncio.sleep(0.05)  # far sooner than it was told

    async def rate(self, seconds: float, clients: int = 4) -> float:
        """Rows a second with a few patient clients."""
        before, started = self.rows, time.perf_counter()
        await asyncio.gather(
            *(self.client(i, started + seconds, leaves=False) for i in range(clients))
        )
        return (self.rows - before) / (time.perf_counter() - started)


def watch(url: str, pid: int, stop: Any, found: Any) -> None:
    """Twice a second, in a process of its own: milliseconds until /livez answers, and resident
    MiB."""
    health, memory = list[float](), list[float]()
    with httpx.Client(base_url=url, timeout=30) as client:
        while not stop.wait(0.5):
            begun = time.perf_counter()
            client.get("/livez").raise_for_status()
            health.append(1000 * (time.perf_counter() - begun))
            memory.append(resident_mib(pid))
    found.put((sorted(health), memory))


async def measure(url: str, pid: int, seconds: float, clients: int) -> dict[str, Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        calm = Load(http, url)
        await calm.rate(3)
        full = await calm.rate(10)
        before = resident_mib(pid)
        storm, stop, found = Load(http, url), multiprocessing.Event(), multiprocessing.Queue()
        watcher = multiprocessing.Process(target=watch, args=(url, pid, stop, found))
        watcher.start()
        started = time.perf_counter()
        await asyncio.gather(
            *(storm.client(i, started + seconds, leaves=True) for i in range(clients))
        )
        stop.set()
        health, memory = await asyncio.to_thread(found.get)
        watcher.join()
        after, recovered = list[float](), None
        for second in range(1, 16):
            after.append(await calm.rate(1))
            if after[-1] >= 0.9 * full:
                recovered = second
                break
        asked = sum(storm.outcomes.values()) * ROWS / seconds
        return {
            "benchmark": "overload",
            "full_rate": round(full),
            "asked_rate_over_full": round(asked / full, 1),
            "answered_rate_in_the_storm": round(storm.rows / seconds),
            "outcomes": dict(storm.outcomes),
            "refusals_without_retry_after": storm.without_retry_after,
            "livez_ms": {
                "p50": round(health[len(health) // 2], 1),
                "p95": round(health[int(0.95 * len(health))], 1),
                "max": round(health[-1], 1),
            },
            "memory_mib": {
                "before": round(before),
                "most": round(max(memory)),
                "last": round(memory[-1]),
            },
            "seconds_until_full_rate": recovered,
            "rates_after": [round(r) for r in after],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=160)
    options = parser.parse_args()
    with running() as (url, pid):
        result = asyncio.run(measure(url, pid, options.seconds, options.clients))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
