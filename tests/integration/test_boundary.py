"""The request's one boundary: whatever is sent, by whomever, however it ends, nothing stays taken
and the others are answered.

Numbers in brackets are those of the defects that each test failed on.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from polygraft.adapters.library import Library
from polygraft.architectures.text import too_many_marks
from polygraft.errors import AdapterError, InvalidRow, Overloaded, RowFailed, TooLarge
from polygraft.runtime.admission import units
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, WeightedAdapter
from polygraft.runtime.search import Search
from polygraft.serve import answers as answers_module
from polygraft.serve import app as app_module
from polygraft.serve import door
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import TASK, Classified

GOOD = {"adapter": "spam", "text": "WIN a free prize"}
CAPACITY = 600


@pytest.fixture(scope="module")
def host(backbone: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    copy = Path(shutil.copytree(library, tmp_path_factory.mktemp("boundary") / "library"))
    host = Host(Engine(backbone, precision="fp32", slots=8, queue=CAPACITY), Library(copy))
    yield host
    host.engine.close()


@pytest.fixture
def engine(host: Host) -> Iterator[Engine]:
    """Nothing may be taken after the test, and rows must be answered."""
    yield host.engine
    assert_given_back(host.engine)
    assert isinstance(host.engine.answer([Row("spam", "hello")])[0], Classified)


def assert_given_back(engine: Engine) -> None:
    """At once, or as soon as a thread that was tokenising has seen that nobody waits."""

    def taken() -> tuple[int, int, int]:
        return engine.leases, len(engine.encoding), engine.admission.under_way

    until = time.monotonic() + 5
    while any(taken()) and time.monotonic() < until:
        time.sleep(0.01)
    assert taken() == (0, 0, 0)


@pytest.fixture
def app(host: Host, engine: Engine) -> FastAPI:
    return app_module.create_app(lambda: host)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=True)


@pytest.fixture
def gate(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Closed: no batch runs until it is set."""
    gate, run = threading.Event(), engine.encoding._scheduler._run

    def wait_and_run(payloads: list[object]) -> Any:
        gate.wait(30)
        return run(payloads)

    monkeypatch.setattr(engine.encoding._scheduler, "_run", wait_and_run)
    yield gate
    gate.set()


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    return str(error["code"])


def scope_of(path: str) -> dict[str, Any]:
    """Of a POST of JSON."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", b"application/json"), (b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


# the engine


def test_a_lone_surrogate_is_its_rows_error(engine: Engine) -> None:
    """[1] `encode` raised after the adapters were held: the request was a 500 and its slots leaked
    for good."""
    answers = engine.answer([Row("spam", "hello"), Row("spam", "\ud800"), Row("mood", "hello")])
    assert [type(a) for a in answers] == [Classified, InvalidRow, Classified]
    assert "not valid Unicode" in str(answers[1])


def test_a_text_that_the_tokenizer_fails_on_fails_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = engine.encoder.encode

    def failing(texts: list[str]) -> Any:
        if "bad" in texts:
            raise OverflowError("no")
        return encode(texts)

    monkeypatch.setattr(engine.encoder, "encode", failing)
    answers = engine.answer([Row("spam", "hello"), Row("spam", "bad"), Row("mood", "hello")])
    assert [type(a) for a in answers] == [Classified, RowFailed, Classified]


def test_a_row_that_fails_in_the_graph_fails_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[7] one failing row failed its whole batch."""
    run = engine.encoding._scheduler._run

    def failing(payloads: list[Any]) -> Any:
        if any(len(request.text) == 4 for request in payloads):
            raise RuntimeError("the graph fails on four tokens")
        return run(payloads)

    monkeypatch.setattr(engine.encoding._scheduler, "_run", failing)
    rows = [
        Row("spam", text) for text in ("hello", "see you", "win cash now", "call mum", "dinner")
    ]
    kinds = [type(a) for a in engine.answer(rows)]
    assert kinds == [Classified, RowFailed, Classified, RowFailed, Classified]


def test_an_adapter_whose_proof_raises_is_refused_by_name_and_gives_its_slots_back(
    engine: Engine, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[3] only PolygraftError was caught: any other exception leaked slots each time."""

    def raises(*_: object) -> None:
        raise ValueError("shapes (3,2) and (3,5)")

    monkeypatch.setattr(TASK, "verify_goldens", raises)
    free = engine.bank.free
    with pytest.raises(AdapterError, match="'spam' cannot be run on this backbone"):
        engine.add(library / "spam")
    assert engine.bank.free == free


def test_cancelled_rows_give_everything_back_before_they_are_computed(
    engine: Engine, gate: threading.Event
) -> None:
    """[5] an abandoned request was computed all the same."""
    futures = engine.submit([Row("spam", f"hello {i}") for i in range(100)])
    assert engine.leases == 100
    for future in futures:
        future.cancel()
    assert (engine.leases, len(engine.encoding), engine.admission.under_way) == (0, 0, 0)


def test_beyond_the_bound_work_is_refused_whole(engine: Engine, gate: threading.Event) -> None:
    """[5, 12] the queue had no bound."""
    first = engine.submit([Row("spam", "hello")] * (CAPACITY - 10))
    with pytest.raises(Overloaded) as refused:
        engine.submit([Row("spam", "hello")] * 11)
    assert 1 <= refused.value.retry_after <= 60
    assert engine.leases == CAPACITY - 10, "nothing of the refused request was taken"
    second = engine.submit([Row("spam", "hello")] * 10)
    gate.set()
    assert not wait([*first, *second], timeout=30).not_done


# over HTTP


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/classify", '{"adapter": "spam", "text": "\\ud800"}', 422),
        ("/v1/classify", '{"adapter": "spam", "texts": ["\\udfff x"]}', 200),
        ("/v1/classify", '{"adapter": "\\ud800", "text": "x"}', 422),
        ("/v1/classify", '{"\\ud800": 1}', 422),
        ("/v1/batch", '{"rows": [{"adapter": "\\ud800", "text": "x"}]}', 200),
        ("/v1/translate", '{"text": "\\ud800", "target": "yo", "source": "en"}', 422),
        ("/v1/translate", '{"text": "x", "target": "\\ud800", "source": "en"}', 422),
        ("/translate", '{"q": "\\ud800", "target": "yo", "source": "en"}', 400),
        ("/translate", '{"q": "x", "target": "\\ud800", "source": "en"}', 400),
        ("/detect", '{"q": "\\ud800"}', 400),
        ("/v1/classify", '{"adapter": "spam", "text": "x", "top_k": 1e999}', 422),
        ("/v1/classify", '{"adapter": "spam", "text": "x", "top_k": ' + "9" * 5000 + "}", 400),
    ],
)
def test_no_text_that_is_no_text_is_a_500(
    client: TestClient, path: str, body: str, status: int
) -> None:
    """[1, 14]"""
    response = client.post(
        path, content=body.encode(), headers={"content-type": "application/json"}
    )
    assert response.status_code == status, response.text
    if status == 200:
        assert response.json()["results"][0]["error"]["code"] == "InvalidRow"


@pytest.mark.parametrize(
    "path", ["/v1/classify", "/v1/batch", "/v1/translate", "/translate", "/detect"]
)
def test_json_nested_too_deep(client: TestClient, path: str) -> None:
    """[17] on LibreTranslate's routes it was a 500."""
    body = b'{"q": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert (
        client.post(path, content=body, headers={"content-type": "application/json"}).status_code
        == 400
    )


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/batch", "/translate"])
def test_a_body_beyond_the_bound_is_refused_unread(client: TestClient, path: str) -> None:
    """[12] 90 MB of empty rows took 4.7 GB."""
    body = b'{"rows": [' + b"{}," * 2_000_000 + b"{}]}"
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 413
    error = response.json()["error"]
    assert "larger than 4 MiB" in (error if path == "/translate" else error["message"])


@pytest.mark.parametrize("body", [{"rows": [{}] * 600}, {"adapter": "spam", "texts": [{}] * 600}])
def test_rows_are_counted_before_they_are_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, body: object
) -> None:
    """[lower] rows were parsed before they were counted."""

    def never(raw: object) -> None:
        raise AssertionError("read before it was counted")

    monkeypatch.setattr("polygraft.serve.rows.read_row", never)
    response = client.post("/v1/classify", json=body)
    assert (response.status_code, code_of(response)) == (413, "TooManyRows")


def test_a_name_of_a_megabyte_is_not_echoed(client: TestClient) -> None:
    """[17]"""
    for body in (
        {"adapter": "x" * 1_000_000, "text": "x"},
        {"rows": [{"adapter": "x" * 1_000_000, "text": "x"}]},
    ):
        response = client.post("/v1/classify", json=body)
        assert response.status_code in (200, 422)
        assert len(response.content) < 1_000
    assert (
        len(str(client.post("/v1/classify", json={"adapter": "x" * 100, "text": "x"}).content))
        < 1_000
    )


def test_many_problems_are_told_in_few_words(client: TestClient) -> None:
    response = client.post(
        "/v1/classify", json={"adapter": "spam", "text": "x", **{f"k{i}": i for i in range(60)}}
    )
    assert response.status_code == 422
    assert len(response.content) < 2_000
    assert "more problems" in response.text


def test_unknown_paths_and_methods_are_told_in_the_same_shape(client: TestClient) -> None:
    assert code_of(client.get("/v1/nothing")) == "NotFound"
    response = client.get("/v1/classify")
    assert (response.status_code, code_of(response), response.headers["allow"]) == (
        405,
        "MethodNotAllowed",
        "POST",
    )


def test_beyond_the_bound_a_request_is_told_when_to_come_again(
    client: TestClient, engine: Engine, gate: threading.Event
) -> None:
    """[5, 12]"""
    waiting = engine.submit([Row("spam", "hello")] * CAPACITY)
    for path, body in (
        ("/v1/classify", GOOD),
        ("/v1/translate", {"text": "x", "target": "yo", "source": "en", "adapter": "spam"}),
    ):
        response = client.post(path, json=body)
        assert (response.status_code, code_of(response)) == (503, "Overloaded")
        assert 1 <= int(response.headers["retry-after"]) <= 60
    for future in waiting:
        future.cancel()


def test_what_is_not_answered_in_time_is_dropped_and_told(
    client: TestClient,
    host: Host,
    engine: Engine,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[5] a request that ran out of time was computed all the same."""
    monkeypatch.setattr(host, "settings", host.settings.model_copy(update={"timeout": 0.05}))
    response = client.post("/v1/classify", json=GOOD)
    assert (response.status_code, code_of(response)) == (504, "DeadlineExceeded")
    rows = client.post("/v1/batch", json={"rows": [GOOD, {"adapter": "nope", "text": "x"}]}).json()[
        "results"
    ]
    assert [row["error"]["code"] for row in rows] == ["DeadlineExceeded", "UnknownAdapter"]
    assert (engine.leases, len(engine.encoding)) == (0, 0)


def test_waiting_requests_hold_no_thread(
    app: FastAPI, engine: Engine, gate: threading.Event
) -> None:
    """[6] synchronous endpoints shared 40 threads: the 41st request of any kind waited."""

    async def ask() -> tuple[set[int], int, int]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as http:
            before = threading.active_count()
            asked = [asyncio.create_task(http.post("/v1/classify", json=GOOD)) for _ in range(200)]
            while engine.leases < 200:
                await asyncio.sleep(0.005)
            assert (await asyncio.wait_for(http.get("/v1/adapters"), 5)).status_code == 200
            threads = threading.active_count() - before
            gate.set()
            answered = await asyncio.wait_for(asyncio.gather(*asked), 30)
            return (
                {r.status_code for r in answered},
                len(answered),
                max(0, threads),
            )  # others may end meanwhile

    assert asyncio.run(ask()) == ({200}, 200, 0)


@pytest.mark.parametrize("rows", [3, 300])
def test_a_client_that_hangs_up_frees_its_rows(
    app: FastAPI, engine: Engine, gate: threading.Event, rows: int
) -> None:
    """[5, 12] 64 requests of 512 rows whose clients had left kept the server from answering for 50
    s."""
    body = json.dumps({"rows": [GOOD] * rows}).encode()
    sent: list[dict[str, Any]] = []

    async def hang_up() -> None:
        left = asyncio.Event()
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(messages, None)
            if message is None:
                await left.wait()
                return {"type": "http.disconnect"}
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        request = asyncio.create_task(app(scope_of("/v1/classify"), receive, send))
        while engine.leases < rows:
            await asyncio.sleep(0.005)
        left.set()
        await asyncio.wait_for(request, 5)

    asyncio.run(hang_up())
    assert_given_back(engine)
    assert sent[0]["status"] == 499


def test_what_nobody_foresaw_is_told_without_a_traceback(
    client: TestClient,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    make_adapter: Callable[..., Path],
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(host, "manifests", fails)
    response = client.get("/v1/adapters")
    assert (response.status_code, code_of(response)) == (500, "InternalError")
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (
            '{"adapter": "spam", "text": "x"}',
            {"content-type": "text/plain"},
            "content-type: application/json",
        ),
        ('{"rows": [5]}', {}, "a row is an object"),
        (
            '{"rows": [{"adapter": "spam", "text": "\\ud800"}]}',
            {},
            "text: the text is not valid Unicode",
        ),
        ('{"adapter": "spam", "text": "x", "head": "nope"}', {}, "has no head 'nope'"),
    ],
)
def test_what_is_wrong_is_said_as_to_a_user(
    client: TestClient, body: str, headers: dict[str, str], told: str
) -> None:
    """Found by a new user."""
    response = client.post(
        "/v1/classify", content=body, headers={"content-type": "application/json"} | headers
    )
    assert told in response.text


def test_a_method_that_is_not_there_names_those_that_are(client: TestClient) -> None:
    assert "it takes POST" in client.get("/v1/classify").text


# found by a hostile outsider


def test_slow_bodies_keep_nobody_else_out(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four connections that sent half a body stopped every other request for good."""
    monkeypatch.setattr(door, "BODY_SECONDS", 0.5)

    async def ask() -> tuple[list[int], int]:
        never = asyncio.Event()
        statuses: list[int] = []

        async def slow() -> None:
            messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])

            async def receive() -> dict[str, Any]:
                message = next(messages, None)
                if message is None:
                    await never.wait()
                return message or {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            await app(scope_of("/v1/classify"), receive, send)

        slow_ones = [asyncio.create_task(slow()) for _ in range(20)]
        await asyncio.sleep(0.05)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as http:
            answered = (await asyncio.wait_for(http.post("/v1/classify", json=GOOD), 5)).status_code
        assert not statuses, "they are still there"
        await asyncio.gather(*slow_ones)
        return statuses, answered

    assert asyncio.run(ask()) == ([408] * 20, 200)


def test_bodies_that_wait_are_bounded(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_HELD", 1_000)
    response = client.post("/v1/classify", json=GOOD | {"text": "x" * 2_000})
    assert (response.status_code, code_of(response)) == (503, "Overloaded")
    assert client.post("/v1/classify", json=GOOD).status_code == 200, "what was held is given back"


def test_marks_without_end_are_refused_before_they_are_normalised(engine: Engine) -> None:
    """Normalising 20,000 marks on one letter took 1.2 s, in C, with the interpreter's lock."""
    assert too_many_marks("a" + "\u0301" * 30) is None
    assert too_many_marks("Ọjọ́ dára, नमस्ते, שָׁלוֹם") is None
    (answer,) = engine.answer([Row("spam", "a" + "\u0301\u0323" * 9_999)])
    assert isinstance(answer, InvalidRow)
    assert "combining marks" in str(answer)


def test_many_unknown_fields_are_one_problem(client: TestClient) -> None:
    """400,000 unknown fields were 400,000 errors, and 5 s in which nobody was answered."""
    fields = {str(i): 1 for i in range(100_000)}
    for body in (fields, {"rows": [fields]}):
        response = client.post("/v1/batch", json=body)
        assert "100,000 fields, at most 64 are read" in response.text
        assert len(response.content) < 500


def test_deep_stacks_run_apart_from_shallow_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 rows of 28 slots made the other 248 of their request take nine times as long."""
    shapes: list[tuple[int, ...]] = []
    run = engine.encoding.session.run

    def seen(batch: Any, bank: Any) -> Any:
        shapes.append(batch["slots"].shape)
        return run(batch, bank)

    monkeypatch.setattr(engine.encoding.session, "run", seen)
    deep = Row("spam", "hello", stack=tuple(WeightedAdapter("mood") for _ in range(7)))
    rows = [Row("spam", "hello"), deep, Row("topic", "hello"), deep]
    answers = engine.answer(rows)
    assert sorted({shape[1] for shape in shapes}) == [1, 8]
    assert [a.adapter for a in answers if isinstance(a, Classified)] == [
        "spam",
        "spam",
        "topic",
        "spam",
    ]
    assert answers[1] != answers[0]


def test_an_answer_is_bounded_however_many_labels_an_adapter_has(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "MAX_LABELS", 6)
    results = client.post("/v1/classify", json={"adapter": "topic", "texts": ["hello"] * 3}).json()[
        "results"
    ]
    assert [len(r["labels"]) for r in results] == [2, 2, 2]


def test_work_counts_by_its_beam_and_what_never_fits_is_refused_as_such(engine: Engine) -> None:
    row = Row("spam", "x" * 1_000, search=Search(beam=16))
    assert units(row) == 80
    with pytest.raises(TooLarge, match="send several requests"):
        engine.submit([row] * 8)
