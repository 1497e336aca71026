"""Every endpoint and every kind of bad input, against the app in process; the server goes on
answering after each."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library, pack
from polygraft.runtime.engine import Engine
from polygraft.serve import auth
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.transfer import guard

GOOD = {"adapter": "spam", "text": "WIN a free prize"}


@pytest.fixture
def host(backbone: Path, library: Path, tmp_path: Path) -> Iterator[Host]:
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(copy))
    yield host
    host.engine.close()


@pytest.fixture
def client(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv(auth.VARIABLE, "secret")
    with TestClient(create_app(lambda: host), headers={"authorization": "Bearer secret"}) as client:
        yield client
        assert client.post("/v1/classify", json=GOOD).status_code == 200, (
            "the server must go on answering"
        )


def error_of(response: object, status: int) -> str:
    assert response.status_code == status, response.text  # type: ignore[attr-defined]
    error = response.json()["error"]  # type: ignore[attr-defined]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"] == response.headers["x-request-id"]  # type: ignore[attr-defined]
    return f"{error['code']}: {error['message']}"


def test_an_adapter_that_transfer_harmed_is_promoted_only_with_a_reason(
    client: TestClient, host: Host, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(host.library.folder("mood"), tmp_path / "mood"))
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    manifest["metrics"]["gain_from_transfer"] = {
        "value": -4.0,
        "low": -7.0,
        "high": -1.0,
        "verdict": "harms",
        "over": "tfidf",
    }
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "NegativeTransfer" in error_of(client.post("/v1/adapters", content=pack(folder)), 409)
    assert load_manifest(host.library.folder("mood")).forced is None, "nothing changed"
    guard.force(folder, "asked for by the shop")
    assert client.post("/v1/adapters", content=pack(folder)).status_code == 201
    assert load_manifest(host.library.folder("mood")).forced == "asked for by the shop"


def test_one_text(client: TestClient) -> None:
    (result,) = client.post("/v1/classify", json=GOOD).json()["results"]
    assert set(result) == {"adapter", "version", "label", "score", "labels"}
    assert result["labels"][0] == {"label": result["label"], "score": result["score"]}


def test_texts_and_mixed_rows_come_back_in_order(client: TestClient) -> None:
    texts = client.post(
        "/v1/classify", json={"adapter": "mood", "texts": ["see you", "free cash"], "top_k": 1}
    ).json()
    assert [len(r["labels"]) for r in texts["results"]] == [1, 1]
    rows = [
        {"adapter": a, "text": t}
        for a, t in (("topic", "x"), ("spam", "win"), ("mood", "hello"), ("spam", "mum"))
    ]
    results = client.post("/v1/classify", json={"rows": rows}).json()["results"]
    assert [r["adapter"] for r in results] == ["topic", "spam", "mood", "spam"]
    assert [len(r["labels"]) for r in results] == [7, 2, 3, 2]


def test_an_error_stands_in_its_rows_place(client: TestClient) -> None:
    rows = [
        GOOD,
        {"adapter": "spam", "text": 5},
        {"adapter": "nope", "text": "x"},
        "row",
        {"adapter": "spam", "text": " "},
        GOOD,
    ]
    results = client.post("/v1/classify", json={"rows": rows}).json()["results"]
    assert [r.get("error", {}).get("code") for r in results] == [
        None,
        "InvalidRow",
        "UnknownAdapter",
        "InvalidRow",
        "InvalidRow",
        None,
    ]
    assert results[0] == results[5]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"adapter": "spma", "text": "x"}, 404, "did you mean spam"),
        ({"adapter": "spma", "texts": ["x"]}, 404, "did you mean spam"),
        ({"adapter": "../spam", "text": "x"}, 404, "UnknownAdapter"),
        ({"adapter": "spam", "text": ""}, 422, "empty"),
        ({"adapter": "spam", "text": None}, 422, "valid string"),
        ({"adapter": "spam", "text": ["a"]}, 422, "several texts go into texts"),
        ({"adapter": "spam", "texts": "a"}, 422, "one text goes into text"),
        ({"adapter": "spam", "text": "x", "topk": 1}, 422, "did you mean top_k?"),
        ({"adapter": "spam", "text": "x", "zzz": 1}, 422, "take one of adapter, stack, text,"),
        ({"adapter": "spam", "text": "x", "truncate": "no"}, 422, "send true or false"),
        ({"adapter": "spam", "text": "word " * 500}, 422, "longer than the 64 tokens"),
        ({"adapter": "spam", "text": "x" * 30_000}, 422, "at most 20,000"),
        ({"adapter": "spam", "text": "x", "language": "sw"}, 422, "was made for en"),
        ({"adapter": "spam", "text": "x", "texts": ["x"]}, 422, "exactly one of"),
        ({"adapter": "spam"}, 422, "exactly one of"),
        ({"text": "x"}, 422, "adapter is missing"),
        ({"adapter": "spam", "rows": []}, 422, "each row says its own adapter"),
        (
            {"language": "en", "truncate": True, "rows": []},
            422,
            "each row says its own language, truncate",
        ),
        ({"adapter": "spam", "text": "x", "top_k": 0}, 422, "top_k"),
        ({"adapter": "spam", "text": "x", "tpo_k": 1}, 422, "tpo_k"),
        ({"adapter": "spam", "texts": ["x"] * 513}, 413, "at most 512"),
        ([], 422, "body"),
    ],
)
def test_bad_requests(client: TestClient, body: object, status: int, told: str) -> None:
    assert told in error_of(client.post("/v1/classify", json=body), status)


def test_malformed_json(client: TestClient) -> None:
    answer = client.post(
        "/v1/classify", content=b'{"adapter": ', headers={"content-type": "application/json"}
    )
    assert "MalformedJSON" in error_of(answer, 400)


def test_empty_lists_give_empty_results(client: TestClient) -> None:
    assert client.post("/v1/classify", json={"rows": []}).json() == {"results": []}


def test_add_answers_at_once_and_replaces(
    client: TestClient, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    for seed in (20, 21):
        folder = make_adapter(tmp_path / "fresh", seed=seed)
        added = client.post("/v1/adapters", content=pack(folder))
        assert added.status_code == 201
        (result,) = client.post("/v1/classify", json={"adapter": "fresh", "text": "hello"}).json()[
            "results"
        ]
        assert result["version"] == added.json()["version"]
    assert client.get("/v1/adapters").json()["free_slots"] == 3, "the version before stays loaded"


def test_remove_and_purge(client: TestClient, host: Host) -> None:
    assert client.delete("/v1/adapters/mood").json()["name"] == "mood"
    assert "UnknownAdapter" in error_of(
        client.post("/v1/classify", json={"adapter": "mood", "text": "x"}), 404
    )
    assert host.library.names() == ["mood", "spam", "topic"]
    assert client.delete("/v1/adapters/topic", params={"purge": True}).status_code == 200
    assert host.library.names() == ["mood", "spam"]
    assert "UnknownAdapter" in error_of(client.delete("/v1/adapters/topic"), 404)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04junk", zipped(**{"../x": b""}), zipped(**{"a.pkl": b""}), zipped()]
)
def test_bad_uploads_leave_nothing_behind(client: TestClient, host: Host, content: bytes) -> None:
    before = sorted(p.name for p in host.library.root.rglob("*"))
    assert "AdapterError" in error_of(client.post("/v1/adapters", content=content), 422)
    assert sorted(p.name for p in host.library.root.rglob("*")) == before


def nan(folder: Path) -> None:
    tensors = load_file(folder / LAYOUT.weights)
    next(iter(tensors.values()))[0, 0] = np.nan
    save_file(tensors, folder / LAYOUT.weights)


def zeroed(folder: Path) -> None:
    tensors = load_file(folder / LAYOUT.weights)
    save_file({k: np.zeros_like(v) for k, v in tensors.items()}, folder / LAYOUT.weights)


@pytest.mark.parametrize(
    ("spoil", "changes", "status", "code"),
    [
        (nan, {}, 422, "AdapterError"),
        (zeroed, {}, 409, "GoldenMismatch"),
        (lambda folder: None, {"backbone": "0" * 16}, 409, "WrongBackbone"),
    ],
)
def test_spoilt_adapters_are_refused_and_the_old_one_stays(
    client: TestClient,
    host: Host,
    library: Path,
    tmp_path: Path,
    edit_manifest: Callable[..., None],
    spoil: Callable[[Path], None],
    changes: dict[str, str],
    status: int,
    code: str,
) -> None:
    folder = Path(shutil.copytree(library / "spam", tmp_path / "spoilt" / "spam"))
    spoil(folder)
    edit_manifest(folder, **changes)
    before = client.get("/v1/adapters").json()
    assert code in error_of(client.post("/v1/adapters", content=pack(folder)), status)
    assert client.get("/v1/adapters").json() == before
    assert not list(host.library.root.glob(".staging-*"))


def test_changing_verbs_need_the_key(client: TestClient, library: Path) -> None:
    stranger = TestClient(client.app, client=("127.0.0.1", 1))
    assert "Forbidden" in error_of(stranger.delete("/v1/adapters/mood"), 403)
    assert "Forbidden" in error_of(
        stranger.post("/v1/adapters", content=b"", headers={"authorization": "Bearer wrong"}), 403
    )
    assert client.delete("/v1/adapters/mood").status_code == 200
    assert client.post("/v1/adapters", content=pack(library / "mood")).status_code == 201


def test_a_refused_adapter_is_listed_with_its_reason(
    backbone: Path, library: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    weights = copy / "spam" / LAYOUT.weights
    weights.write_bytes(weights.read_bytes()[:100])
    (copy / "mood").rename(copy / "moody")
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(copy))
    answer = TestClient(create_app(lambda: host)).get("/v1/adapters").json()
    assert [a["name"] for a in answer["adapters"]] == ["topic"]
    assert {r["name"]: r["error"]["message"] for r in answer["refused"]}.keys() == {"spam", "moody"}
    host.engine.close()


def test_openapi_names_every_endpoint_and_its_errors(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {(p, m) for p, methods in paths.items() for m in methods} == {
        ("/detect", "post"),
        ("/hf/{adapter}", "post"),
        ("/hf/{adapter}/embed", "post"),
        ("/hf/{adapter}/info", "get"),
        ("/hf/{adapter}/predict", "post"),
        ("/hf/{adapter}/similarity", "post"),
        ("/languages", "get"),
        ("/translate", "post"),
        ("/v1/adapters", "get"),
        ("/v1/adapters", "post"),
        ("/v1/adapters/{name}", "delete"),
        ("/v1/adapters/{name}/compare", "get"),
        ("/v1/adapters/{name}/history", "get"),
        ("/v1/adapters/{name}/promote", "post"),
        ("/v1/adapters/{name}/rollback", "post"),
        ("/v1/adapters/{name}/route", "get"),
        ("/v1/adapters/{name}/route", "put"),
        ("/v1/batch", "post"),
        ("/v1/tag", "post"),
        ("/v1/classify", "post"),
        ("/v1/embed", "post"),
        ("/v1/embeddings", "post"),
        ("/v1/models", "get"),
        ("/v1/models/{name}", "get"),
        ("/v1/similarity", "post"),
        ("/v1/stream", "post"),
        ("/v1/translate", "post"),
        ("/v1/translate/document", "post"),
        ("/v2", "get"),
        ("/v2/health/live", "get"),
        ("/v2/health/ready", "get"),
        ("/v2/models/{name}", "get"),
        ("/v2/models/{name}/infer", "post"),
        ("/v2/models/{name}/ready", "get"),
        ("/v2/models/{name}/versions/{version}", "get"),
        ("/v2/models/{name}/versions/{version}/infer", "post"),
        ("/v2/models/{name}/versions/{version}/ready", "get"),
        ("/v2/repository/index", "post"),
    }
    assert json.dumps(paths).count("ErrorResponse") >= 4
