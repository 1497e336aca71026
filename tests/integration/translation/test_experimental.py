"""What is often wrong altogether is translated only on request, and every answer says how far it
can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from polygraft.adapters.library import Library
from polygraft.runtime.engine import Engine
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings


@pytest.fixture(scope="module")
def host(
    writing_backbone: Path,
    make_translator: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    """English to Yoruba is experimental, Yoruba to English usable, Hawaiian to English a gist."""
    root = tmp_path_factory.mktemp("experimental")
    make_translator(root / "en-yo", [("en", "yo")], seed=7, chrf=20)
    make_translator(root / "yo-en", [("yo", "en")], seed=8, chrf=50)
    make_translator(root / "haw-en", [("haw", "en")], seed=8, chrf=30)
    host = Host(Engine(writing_backbone, precision="fp32", slots=8), Library(root))
    assert not host.refused, host.refused
    yield host
    host.engine.close()


@pytest.fixture
def allowing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment({"POLYGRAFT_ALLOW_EXPERIMENTAL": "true"})
    monkeypatch.setattr(host, "settings", settings)


def ask(api: TestClient, source: str, target: str, **more: Any) -> Any:
    body = {"text": "hello mum", "source": source, "target": target} | more
    return api.post("/v1/translate", json=body)


def libre(api: TestClient, source: str, target: str, **more: Any) -> Any:
    return api.post("/translate", json={"q": "hello", "source": source, "target": target} | more)


def test_answers_have_the_class_of_their_direction(api: TestClient) -> None:
    for source, quality in (("yo", "usable"), ("haw", "gist")):
        (result,) = ask(api, source, "en").json()["results"]
        assert result["quality"] == quality
        assert libre(api, source, "en").json()["quality"] == quality


def test_what_is_experimental_is_refused_and_the_error_says_how_to_get_it(api: TestClient) -> None:
    answer = ask(api, "en", "yo")
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "ExperimentalDirection"
    assert '"allow_experimental": true' in error["message"]
    assert '"adapter": "en-yo"' in error["message"]
    assert ask(api, "en", "yo", texts=["a", "b"], text=None).status_code == 422
    refused = libre(api, "en", "yo")
    assert refused.status_code == 400
    assert "allow_experimental" in refused.json()["error"]


def test_it_is_served_by_name_by_the_field_and_by_the_setting(
    api: TestClient, request: pytest.FixtureRequest
) -> None:
    row = {"adapter": "en-yo", "text": "hello mum", "target": "yo"}
    answers = [
        ask(api, "en", "yo", adapter="en-yo"),
        ask(api, "en", "yo", allow_experimental=True),
        api.post("/v1/batch", json={"rows": [row]}),
    ]
    assert libre(api, "en", "yo", allow_experimental=True).status_code == 200
    assert api.post("/hf/en-yo", json={"inputs": "hello mum"}).status_code == 200
    request.getfixturevalue("allowing")
    answers.append(ask(api, "en", "yo"))
    results = [answer.json()["results"][0] for answer in answers]
    assert {result["quality"] for result in results} == {"experimental"}
    assert len({result["translation"] for result in results}) == 1
    assert libre(api, "en", "yo").status_code == 200
    assert ask(api, "en", "yo", allow_experimental=False).status_code == 422


def test_through_english_two_classes_are_one_below_the_worse(api: TestClient) -> None:
    error = ask(api, "haw", "yo").json()["error"]
    assert error["code"] == "ExperimentalDirection"
    assert "through en" in error["message"]
    (result,) = ask(api, "haw", "yo", allow_experimental=True).json()["results"]
    assert (result["via"], result["quality"]) == ("en", "experimental")


def test_listings_have_the_classes(api: TestClient, request: pytest.FixtureRequest) -> None:
    adapters = {one["name"]: one for one in api.get("/v1/adapters").json()["adapters"]}
    assert adapters["en-yo"]["quality"] == {"en-yo": "experimental"}
    languages = {one["code"]: one for one in api.get("/languages").json()}
    assert languages["en"]["targets"] == []
    assert languages["en"]["quality"] == {"yo": "experimental"}
    assert languages["haw"]["targets"] == ["en"]
    assert languages["haw"]["quality"] == {"en": "gist", "yo": "experimental"}
    assert "<td>en to yo</td><td>experimental</td><td>en-yo</td>" in api.get("/").text
    request.getfixturevalue("allowing")
    languages = {one["code"]: one for one in api.get("/languages").json()}
    assert languages["haw"]["targets"] == ["en", "yo"]
