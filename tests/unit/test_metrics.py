"""Requests are counted by route: their number of series is bounded (defect 17)."""

import asyncio
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.routing import Mount

from polygraft.serve.metrics import RequestMetrics
from polygraft.serve.routes import operations, pages


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(pages.router(lambda: pytest.fail("no page is asked for")))
    app.include_router(operations.router())

    @app.delete("/v1/things/{name}")
    def delete(name: str) -> str:
        if name == "broken":
            raise RuntimeError("for the test")
        return name

    app.add_middleware(RequestMetrics)
    return app


def count(route: str, method: str, status: int) -> float:
    labels = {"route": route, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("polygraft_requests_total", labels) or 0


@pytest.mark.parametrize("mounted", [False, True])
def test_600_paths_make_a_few_lines(app: FastAPI, mounted: bool) -> None:
    """Also where something else mounts the app, whose own route is not what answered."""
    client = TestClient(Starlette(routes=[Mount("/", app)]) if mounted else app)
    before, missed = count("/v1/things/{name}", "DELETE", 200), count("other", "GET", 404)
    client.get("/metrics")
    lines = len(client.get("/metrics").text.splitlines())
    for i in range(300):
        assert client.delete(f"/v1/things/{i}").status_code == 200
        assert client.get(f"/nowhere/{i}").status_code == 404
    assert count("/v1/things/{name}", "DELETE", 200) == before + 300
    assert count("other", "GET", 404) == missed + 300
    text = client.get("/metrics").text
    assert len(text.splitlines()) - lines < 60
    assert not re.search(r"nowhere|things/\d", text)


def test_methods_are_bounded_too(app: FastAPI) -> None:
    client = TestClient(app)
    for i in range(20):
        client.request(f"VERB{i}", "/v1/things/x")
    assert count("/v1/things/{name}", "other", 405) == 20


def test_a_failure_is_a_500_and_a_time_is_kept(app: FastAPI) -> None:
    with pytest.raises(RuntimeError):
        TestClient(app).delete("/v1/things/broken")
    assert count("/v1/things/{name}", "DELETE", 500) == 1
    labels = {"route": "/v1/things/{name}", "method": "DELETE", "le": "+Inf"}
    assert (REGISTRY.get_sample_value("polygraft_request_seconds_bucket", labels) or 0) >= 1


def test_a_client_that_has_gone_is_counted_and_not_in_progress() -> None:
    async def waits(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(60)

    async def go() -> None:
        scope = {"type": "http", "method": "GET", "path": "/x"}
        request = asyncio.ensure_future(RequestMetrics(waits)(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert REGISTRY.get_sample_value("polygraft_requests_in_progress") == before + 1
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)

    before, gone = (
        REGISTRY.get_sample_value("polygraft_requests_in_progress") or 0,
        count("other", "GET", 499),
    )
    asyncio.run(go())
    assert REGISTRY.get_sample_value("polygraft_requests_in_progress") == before
    assert count("other", "GET", 499) == gone + 1
