"""What every request passes: its id, the shape of its errors, and pages of other origins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from polygraft.adapters.library import Library
from polygraft.runtime.engine import Engine
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings

GOOD = {"adapter": "spam", "text": "WIN a free prize"}
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def host(backbone: Path, library: Path) -> Iterator[Host]:
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(library))
    yield host
    host.engine.close()


@pytest.fixture(scope="module")
def client(host: Host) -> TestClient:
    return TestClient(create_app(lambda: host))


@pytest.fixture
def shared(host: Host, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Of a server whose answers pages of `SHOP` may read."""
    monkeypatch.setattr(
        host, "settings", Settings.from_environment({"POLYGRAFT_CORS_ORIGINS": SHOP})
    )
    return TestClient(create_app(lambda: host))


@pytest.mark.parametrize("given", ["a", "0af7651916cd43dd/b7ad:1.2=@+_-", "x" * 128])
def test_a_requests_own_id_comes_back(client: TestClient, given: str) -> None:
    response = client.post("/v1/classify", json=GOOD, headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    refused = client.post("/v1/classify", json={}, headers={"x-request-id": given})
    assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a\tb", "é", '{"a": 1}', "%0a"])
def test_an_id_that_is_not_fit_is_replaced(client: TestClient, given: str | None) -> None:
    headers = {} if given is None else {"x-request-id": given.encode()}
    one, other = (
        client.post("/v1/classify", json={}, headers=headers).json()["error"]["request_id"]
        for _ in range(2)
    )
    assert one != other
    assert len(one) == 32
    assert given is None or given not in one or not given


def test_two_ids_are_none(client: TestClient) -> None:
    twice = [("x-request-id", "mine"), ("x-request-id", "theirs")]
    response = client.get("/languages", headers=httpx.Headers(twice))
    assert response.headers["x-request-id"] not in ("mine", "theirs", "mine, theirs")


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "told"),
    [
        ("GET", "/nothing", 404, "NotFound", "there is no '/nothing'"),
        ("GET", "/docs/nothing", 404, "NotFound", "there is no '/docs/nothing'"),
        ("POST", "/v1/classify/more", 404, "NotFound", "GET /docs"),
        ("GET", "/v1/classify", 405, "MethodNotAllowed", "it takes POST"),
        ("PUT", "/v1/adapters", 405, "MethodNotAllowed", "it takes GET, POST"),
        ("GET", "/v1/adapters/spam", 405, "MethodNotAllowed", "it takes DELETE"),
        ("POST", "/", 405, "MethodNotAllowed", "it takes GET, HEAD"),
        ("POST", "/livez", 405, "MethodNotAllowed", "it takes GET, HEAD"),
        ("OPTIONS", "/v1/translate", 405, "MethodNotAllowed", "it takes POST"),
        ("BREW", "/metrics", 405, "MethodNotAllowed", "it takes GET, HEAD"),
    ],
)
def test_unknown_paths_and_methods_answer_in_the_documented_shape(
    client: TestClient, method: str, path: str, status: int, code: str, told: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == code
    assert told in error["message"]
    if status == 405:
        assert response.headers["allow"] == told.removeprefix("it takes ")


def test_libretranslates_clients_are_told_in_their_shape(client: TestClient) -> None:
    response = client.get("/translate")
    assert response.status_code == 405
    assert response.json() == {
        "error": "GET is not for /translate; it takes POST",
        "request_id": response.headers["x-request-id"],
    }


def test_the_statuses_of_the_api_page_are_those_of_the_document(
    client: TestClient, root: Path
) -> None:
    page = (root / "docs" / "api.md").read_text(encoding="utf-8")
    table = page.partition("\n## Errors")[2].partition("\n## ")[0]
    listed = {
        line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")
    } - {"status"}
    described = client.get("/openapi.json").json()["paths"]["/v1/classify"]["post"]["responses"]
    assert listed == set(described) - {"200"}


def test_no_other_origin_may_read_unless_it_is_listed(client: TestClient) -> None:
    response = client.post("/v1/classify", json=GOOD, headers={"origin": SHOP})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


def test_a_listed_origin_may_ask(shared: TestClient) -> None:
    answered = shared.post("/v1/classify", json=GOOD, headers={"origin": SHOP})
    refused = shared.post("/v1/classify", json={}, headers={"origin": SHOP})
    for response in (answered, refused):
        assert response.headers["access-control-allow-origin"] == SHOP
        assert "x-request-id" in response.headers["access-control-expose-headers"]
    other = shared.post("/v1/classify", json=GOOD, headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def preflight(client: TestClient, method: str, header: str, origin: str = SHOP) -> httpx.Response:
    return client.options(
        "/v1/classify",
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": header,
        },
    )


def test_a_listed_origin_may_not_change_adapters(shared: TestClient) -> None:
    assert preflight(shared, "POST", "content-type").status_code == 200
    assert preflight(shared, "POST", "content-type", "https://other.example").status_code == 400
    assert preflight(shared, "POST", "authorization").status_code == 400
    assert preflight(shared, "DELETE", "content-type").status_code == 400
