"""What HTTP costs: rows a second over it against those of the engine called in process, in the same
run.

    python tests/bench/http_rows.py [--rounds 12] [--size 32] [--clients 2]

A round measures the server (its own process, `clients` connections, `size` rows a request) and the
engine (this process, as many threads), one after the other; the median of the rounds' ratios
counts. Then one row a request by 1 and by 32 clients, with the times a request took; and at half of
the rate of the 32, sent at random moments whatever was answered (an open loop). Last the same
32-row requests by a server that keeps answers: every text comes again. Rows: spam-en, spam-sw,
topic and spam-es in turn on short messages. JSON line last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent))
from server import messages, running

from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row

ADAPTERS = ("spam-en", "spam-sw", "topic", "spam-es")
SECONDS = 3.0


def requests_of(size: int) -> list[list[Row]]:
    """Forty requests of `size` rows each, the same for both."""
    rows = [
        Row(ADAPTERS[i % len(ADAPTERS)], text, top_k=1) for i, text in enumerate(messages() * 10)
    ]
    return [rows[i * size : (i + 1) * size] for i in range(40) if len(rows) >= (i + 1) * size]


def in_process(engine: Engine, requests: list[list[Row]], clients: int) -> float:
    """Rows a second."""
    until, done = time.perf_counter() + SECONDS, [0] * clients

    def ask(client: int) -> None:
        turn = client
        while time.perf_counter() < until:
            done[client] += len(engine.answer(requests[turn % len(requests)]))
            turn += clients

    started = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


def over_http(url: str, requests: list[list[Row]], clients: int) -> tuple[float, list[float]]:
    """Rows a second, and the milliseconds that each request took."""
    bodies = [
        json.dumps(
            {"rows": [{"adapter": r.adapter, "text": r.text} for r in rows], "top_k": 1}
        ).encode()
        for rows in requests
    ]
    sizes, times, rows_done = [len(rows) for rows in requests], list[float](), 0

    async def ask(http: aiohttp.ClientSession, client: int, until: float) -> None:
        nonlocal rows_done
        turn = client
        while time.perf_counter() < until:
            begun = time.perf_counter()
            async with http.post(
                f"{url}/v1/classify", data=bodies[turn % len(bodies)], headers=JSON
            ) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}")
            times.append(1000 * (time.perf_counter() - begun))
            rows_done += sizes[turn % len(bodies)]
            turn += clients

    async def everyone() -> float:
        started = time.perf_counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(
                *(ask(http, client, started + SECONDS) for client in range(clients))
            )
        return time.perf_counter() - started

    seconds = asyncio.run(everyone())
    return rows_done / seconds, times


def at_random(url: str, requests: list[list[Row]], rate: float) -> list[float]:
    """The milliseconds that each request took, of `rate` a second on average."""
    bodies = [
        json.dumps({"adapter": row.adapter, "text": row.text, "top_k": 1}).encode()
        for (row,) in requests
    ]
    draw, times = random.Random(0), list[float]()

    async def ask(http: aiohttp.ClientSession, turn: int) -> None:
        begun = time.perf_counter()
        async with http.post(
            f"{url}/v1/classify", data=bodies[turn % len(bodies)], headers=JSON
        ) as response:
            await response.read()
        times.append(1000 * (time.perf_counter() - begun))

    async def everyone() -> None:
        started, moment = time.perf_counter(), 0.0
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            asked = list[asyncio.Task[None]]()
            while moment < 2 * SECONDS:
                moment += draw.expovariate(rate)
                await asyncio.sleep(max(0, started + moment - time.perf_counter()))
                asked.append(asyncio.create_task(ask(http, len(asked))))
            await asyncio.gather(*asked)

    asyncio.run(everyone())
    return times


def spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
    }


JSON = {"content-type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--clients", type=int, default=2)
    options = parser.parse_args()
    requests, singles = requests_of(options.size), requests_of(1)
    result: dict[str, Any] = {
        "benchmark": "http_rows",
        "rows_a_request": options.size,
        "clients": options.clients,
    }
    with running() as (url, _), closing(Engine(default_backbone())) as engine:
        for name in ADAPTERS:
            engine.add(BUNDLED / name)
        pairs = [
            (
                over_http(url, requests, options.clients)[0],
                in_process(engine, requests, options.clients),
            )
            for _ in range(options.rounds + 1)
        ][1:]
        for clients in (1, 32):
            rate, times = over_http(url, singles, clients)
            result[f"one_row_{clients}_clients"] = {"rows_a_second": round(rate), **spread(times)}
        result["one_row_half_load"] = spread(at_random(url, singles, rate / 2))
    with running(POLYGRAFT_CACHE="4096") as (url, _):
        result["again_rows_a_second"] = round(over_http(url, requests, options.clients)[0])
    result["http_rows_a_second"], result["engine_rows_a_second"] = (
        round(statistics.median(side)) for side in zip(*pairs, strict=True)
    )
    result["http_over_engine"] = round(
        statistics.median(http / engine for http, engine in pairs), 3
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
