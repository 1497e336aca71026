"""`POST /v1/stream`: rows by the line, answered by the line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from polygraft.adapters.library import Library
from polygraft.errors import Overloaded, PolygraftError, SlowBody, TooLarge
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve import lines as lines_module
from polygraft.serve import row_stream as row_stream_module
from polygraft.serve.answers import Answered
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.lines import MAX_HELD, OVERHEAD, Lines
from polygraft.serve.row_stream import RowStream
from polygraft.serve.settings import Settings

ROWS = [
    {"adapter": ("spam", "mood", "topic")[i % 3], "text": f"win {i % 7} free prizes"}
    for i in range(300)
]


SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/stream",
    "headers": [],
    "query_string": b"",
    "client": ("127.0.0.1", 1),
}


@pytest.fixture(scope="module")
def host(backbone: Path, library: Path) -> Iterator[Host]:
    engine = Engine(backbone, precision="fp32", slots=8, queue=100)
    host = Host(engine, Library(library), Settings(timeout=5))
    yield host
    host.engine.close()


@pytest.fixture
def client(host: Host) -> Iterator[TestClient]:
    yield TestClient(create_app(lambda: host), client=("127.0.0.1", 1))
    assert (host.engine.leases, host.engine.admission.under_way) == (0, 0)


def is_idle(host: Host) -> bool:
    """Soon: a thread may still be tokenising for who has left."""
    for _ in range(200):
        if (host.engine.leases, host.engine.admission.under_way) == (0, 0):
            return True
        time.sleep(0.05)
    return False


def lined(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def asked(client: TestClient, body: bytes, query: str = "") -> list[dict[str, Any]]:
    response = client.post(f"/v1/stream{query}", content=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_line_is_answered_in_order_as_in_a_batch(client: TestClient) -> None:
    """300 rows, where no request may hold more work than 100: the stream waits for its turn."""
    answers = asked(client, lined(ROWS), "?top_k=1")
    assert [answer.pop("row") for answer in answers] == list(range(300))
    several = [ROWS[i : i + 50] for i in range(0, 300, 50)]
    alone = [
        result
        for rows in several
        for result in client.post("/v1/batch", json={"rows": rows, "top_k": 1}).json()["results"]
    ]
    assert [a["label"] for a in answers] == [b["label"] for b in alone]
    assert all(len(answer["labels"]) == 1 for answer in answers)


def test_a_bad_line_is_its_own_error(client: TestClient) -> None:
    body = b"\n".join(
        [
            lined(ROWS[:1]).strip(),
            b"",
            b"{not json",
            b'["a"]',
            lined([{"adapter": "nope", "text": "x"}]).strip(),
            lined([{"adapter": "spam", "text": "x", "colour": 1}]).strip(),
            b"\xff\xfe",
            b"[" * 100_000,
            lined(ROWS[1:2]).strip(),
        ]
    )
    answers = asked(client, body)
    assert [answer["row"] for answer in answers] == list(range(8))
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, *["InvalidRow"] * 2, "UnknownAdapter", *["InvalidRow"] * 3, None]
    assert "not JSON" in answers[1]["error"]["message"]


def test_a_line_too_long_is_passed_over(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 1_000)
    long = {"adapter": "spam", "text": "x" * 5_000}
    answers = asked(client, lined([ROWS[0], long, ROWS[1]]))
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert "longer than" in answers[1]["error"]["message"]


def test_what_is_held_is_bounded_lines_and_what_they_take() -> None:
    """26 MB of lines of two bytes had taken 460 MiB."""

    async def run() -> int:
        lines, sent = Lines(5), 0

        async def receive() -> dict[str, Any]:
            nonlocal sent
            sent += 1
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"12\n" * 10_000, "more_body": True}

        reading = asyncio.create_task(lines.read(receive))
        while (before := sent) < 500:
            await asyncio.sleep(0.05)
            if sent == before:
                break
        reading.cancel()
        lines.drop()
        return sent

    assert asyncio.run(run()) * 10_000 * OVERHEAD < MAX_HELD + 2 * 10_000 * OVERHEAD
    assert Lines._held_by_all == 0


def test_nothing_is_answered_with_nothing(client: TestClient) -> None:
    assert asked(client, b"") == []
    assert asked(client, b"\n \n") == []
    assert client.post("/v1/stream?top_k=0", content=b"").status_code == 422


def test_answers_come_while_rows_are_still_sent(host: Host) -> None:
    """The second half is sent only when the first was answered; and what is held is bounded."""

    async def run() -> list[int]:
        app, got, answered = create_app(lambda: host), list[int](), asyncio.Event()
        sent = asyncio.Queue[dict[str, Any]]()
        for rows in (ROWS[:10], ROWS[10:20]):
            await sent.put(
                {"type": "http.request", "body": lined(rows), "more_body": rows is not ROWS[10:20]}
            )

        async def receive() -> dict[str, Any]:
            if got or (not answered.is_set() and sent.qsize() == 2):
                return await sent.get()
            await answered.wait()
            return await sent.get()

        async def send(message: Any) -> None:
            for line in message.get("body", b"").splitlines():
                got.append(json.loads(line)["row"])
            if len(got) == 10:
                answered.set()
                await sent.put({"type": "http.request", "body": b"", "more_body": False})

        await asyncio.wait_for(app(dict(SCOPE), receive, send), 20)
        return got

    assert asyncio.run(run()) == list(range(20))


def test_a_client_that_stops_sending_is_told(host: Host) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield lined(ROWS[:2])
        await asyncio.sleep(30)

    async def run() -> list[dict[str, Any]]:
        transport = httpx.ASGITransport(create_app(lambda: host), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            response = await http.post("/v1/stream", content=slow(), timeout=20)
            return [json.loads(line) for line in response.text.splitlines()]

    answers = asyncio.run(run())
    assert [answer.get("row") for answer in answers] == [0, 1, None]
    assert answers[2]["error"]["code"] == "SlowBody"


def test_rows_are_not_refused_for_the_work_of_their_neighbours(client: TestClient) -> None:
    """Each is 34 units of work or more, and the engine takes 100 at a time."""
    explained = {"adapter": "spam", "text": "win a free prize now " * 12, "explain": True}
    answers = asked(client, lined([explained, ROWS[0], explained, ROWS[1], explained]))
    assert [answer.get("error") for answer in answers] == [None] * 5
    assert [answer["row"] for answer in answers] == list(range(5))
    too_large = {"adapter": "spam", "text": "x" * 200 * 101}
    answers = asked(client, lined([ROWS[0], too_large, ROWS[1]]))
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, "TooLarge", None]


def test_streams_leave_room_to_requests(client: TestClient, host: Host) -> None:
    admission = host.engine.admission
    admission.take(30)
    try:
        with pytest.raises(Overloaded):
            admission.check_patient(64)
        admission.check_patient(45)
        admission.check(70)
    finally:
        admission.give_back(30)
    admission.check_patient(100)
    with pytest.raises(TooLarge):
        admission.check_patient(101)


def test_looking_for_room_costs_little(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 streams that waited kept /livez from being answered for 11 s: each look made 64 rows
    anew. Now the rows are left alone, and the more wait the less often each looks."""
    asked_engine = list[object]()

    async def answer(*given: object, **options: object) -> list[Answered]:
        asked_engine.append(given)
        raise Overloaded(100, 1)

    async def run() -> None:
        rows: list[Row | PolygraftError] = [Row("spam", "win")] * 64
        blocks = [asyncio.create_task(RowStream(host, None)._answers(rows)) for _ in range(20)]
        await asyncio.sleep(0.3)
        assert 15 <= RowStream._waiting <= 20
        for block in blocks:
            block.cancel()
        await asyncio.gather(*blocks, return_exceptions=True)

    monkeypatch.setattr(row_stream_module, "answer", answer)
    host.engine.admission.take(100)
    try:
        asyncio.run(run())
    finally:
        host.engine.admission.give_back(100)
    assert (RowStream._waiting, asked_engine) == (0, [])


@pytest.mark.parametrize("part", [b"1" * 500_000, b"1" * 500_000 + b"\n"])
def test_what_all_streams_hold_is_bounded(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that never end were not counted, nor those that were taken and not answered: 700
    clients had made 500 MiB of the former."""
    monkeypatch.setattr(lines_module, "MAX_HELD_BY_ALL", 2**22)

    async def run() -> tuple[int, list[Exception | None]]:
        held = 0
        streams = [Lines(0.1) for _ in range(100)]

        async def receive() -> dict[str, Any]:
            nonlocal held
            held += len(part)
            if held > 2**26:
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            return {"type": "http.request", "body": part, "more_body": True}

        async def taking(lines: Lines) -> None:
            while await lines.take(1, wait=True):
                pass

        reading = [asyncio.create_task(lines.read(receive)) for lines in streams]
        taken = [asyncio.create_task(taking(lines)) for lines in streams]
        await asyncio.sleep(2.5)
        for task in [*reading, *taken]:
            task.cancel()
        failures = [lines._failure for lines in streams]
        for lines in streams:
            lines.drop()
        return held, failures

    held, failures = asyncio.run(run())
    assert held < 2**22 + 101 * len(part)
    endless = not part.endswith(b"\n")
    assert any(isinstance(failure, SlowBody) for failure in failures) == endless
    assert Lines._held_by_all == 0


def test_a_client_that_leaves_early_is_not_answered_to_the_end(host: Host) -> None:
    """Whoever had sent 16 MiB and left was still answered all of it."""

    async def run() -> int:
        app, parts, answered = create_app(lambda: host), [lined(ROWS)] * 10, 0
        told = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": True}
            await told.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal answered
            answered += message.get("body", b"").count(b"\n")
            told.set()
            await asyncio.sleep(0)

        await asyncio.wait_for(app(dict(SCOPE), receive, send), 60)
        return answered

    assert asyncio.run(run()) < 1_000
    assert is_idle(host)


def test_a_client_that_leaves_frees_its_rows(host: Host) -> None:
    async def run() -> None:
        app, parts = create_app(lambda: host), [lined(ROWS)]

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": True}
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pass

        await asyncio.wait_for(app(dict(SCOPE), receive, send), 20)

    asyncio.run(run())
    assert is_idle(host)
