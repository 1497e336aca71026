"""Whatever texts and rows are sent, each gets an answer or its own error, nothing is a 500, and
nothing stays taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polygraft.adapters.library import Library
from polygraft.errors import PolygraftError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import Classified

EVERY_CHARACTER = st.text(
    st.characters(exclude_categories=()), max_size=200
)  # lone surrogates and controls too
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | EVERY_CHARACTER,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(EVERY_CHARACTER, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["spam", "mood", "topic", "nope", "", "../spam"]) | EVERY_CHARACTER
ROW_FIELDS = {
    "adapter": NAMES,
    "text": EVERY_CHARACTER | JSON_VALUES,
    "language": NAMES | JSON_VALUES,
    "truncate": JSON_VALUES,
    "target": NAMES,
    "beam": st.integers() | JSON_VALUES,
    "temperature": st.floats() | JSON_VALUES,
    "stack": st.lists(NAMES | JSON_VALUES, max_size=3),
    "head": NAMES,
}
ROWS = st.fixed_dictionaries({}, optional=ROW_FIELDS) | JSON_VALUES
QUIET = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def host(backbone: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    copy = Path(shutil.copytree(library, tmp_path_factory.mktemp("properties") / "library"))
    host = Host(Engine(backbone, precision="fp32", slots=8, queue=2000), Library(copy))
    yield host
    assert (host.engine.leases, host.engine.admission.under_way) == (0, 0)
    host.engine.close()


@pytest.fixture(scope="module")
def client(host: Host) -> TestClient:
    return TestClient(create_app(lambda: host))


@QUIET
@given(texts=st.lists(EVERY_CHARACTER, max_size=8))
def test_every_text_gets_an_answer_or_its_own_error(host: Host, texts: list[str]) -> None:
    answers = host.engine.answer([Row("spam", text, truncate=True) for text in texts])
    assert len(answers) == len(texts)
    assert all(isinstance(a, Classified | PolygraftError) for a in answers)
    assert not [a for a in answers if isinstance(a, PolygraftError) and a.code != "InvalidRow"]


@QUIET
@given(rows=st.lists(ROWS, max_size=6), top_k=st.integers() | JSON_VALUES)
def test_every_row_gets_an_answer_or_its_own_error(
    client: TestClient, rows: list[Any], top_k: Any
) -> None:
    for path in ("/v1/batch", "/v1/classify"):
        for body in ({"rows": rows}, {"rows": rows, "top_k": top_k}):
            response = client.post(
                path, content=json.dumps(body), headers={"content-type": "application/json"}
            )
            assert response.status_code in (200, 422), response.text
            if response.status_code == 200:
                results = response.json()["results"]
                assert len(results) == len(rows)
                assert all(("label" in r) != ("error" in r) for r in results)
                assert not [
                    r
                    for r in results
                    if r.get("error", {}).get("code") in ("RowFailed", "InternalError")
                ]


@QUIET
@given(
    body=st.dictionaries(
        st.sampled_from(
            ["text", "texts", "rows", "adapter", "source", "target", "q", "stream", "top_k"]
        ),
        JSON_VALUES,
    ),
    path=st.sampled_from(["/v1/classify", "/v1/batch", "/v1/translate", "/translate", "/detect"]),
)
def test_no_body_is_a_500(client: TestClient, body: dict[str, Any], path: str) -> None:
    response = client.post(
        path, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert response.status_code < 500, response.text
    assert "error" in response.json() or response.status_code == 200
