"""Other systems' APIs, asked by their own clients."""

from __future__ import annotations

import shutil
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tritonclient.http
import uvicorn
import yaml
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from polygraft import Client
from polygraft.adapters.library import Library
from polygraft.runtime.engine import Engine
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import prepare, train

TEXTS = ["win a free prize", "hello mum, see you soon"]


@pytest.fixture(scope="module")
def url(
    writing_backbone: Path,
    translators: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A server with a classifier, a translator and the bare backbone's vectors."""
    root = tmp_path_factory.mktemp("apis")
    for name in ("spam", "en-yo"):
        shutil.copytree(translators / name, root / name)
    (root / "embed").mkdir()
    lines = [f"{text}\t{text.upper()}" for text in (*TEXTS, "dinner is late", "call now")]
    (root / "embed" / "dev.tsv").write_text("\n".join(lines), encoding="utf-8")
    recipe = {
        "name": "embed",
        "task": "embedding",
        "languages": ["en"],
        "strategy": "frozen",
        "data": {"dev": [{"source": "en", "target": "en", "file": "dev.tsv"}]},
    }
    file = root / "embed" / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    train(prepare(load_recipe(file), file, writing_backbone).job, file.parent)
    host = Host(Engine(writing_backbone, precision="fp32", slots=8), Library(root))
    assert not host.refused
    server = uvicorn.Server(uvicorn.Config(create_app(lambda: host), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    host.engine.close()


@pytest.fixture(scope="module")
def ours(url: str) -> dict[str, Any]:
    """What our own client gets."""
    with Client(url) as client:
        adapters = {a.name: a for a in client.adapters().adapters}
        (translator,) = (a for a in adapters.values() if a.task == "translation")
        source, target = translator.directions[0]
        row = {"adapter": translator.name, "target": target, "language": source}
        return {
            "adapters": adapters,
            "vectors": np.array([row.embedding for row in client.embed(TEXTS)]),
            "labels": client.classify("spam", TEXTS),
            "direction": (translator.name, source, target),
            "translation": client.batch([row | {"text": TEXTS[1]}])[0].translation,
        }


def test_openai(url: str, ours: dict[str, Any]) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    for options in ({}, {"encoding_format": "float"}):  # by itself it asks for base64
        answer = client.embeddings.create(model="embed", input=TEXTS, **options)
        vectors = [one.embedding for one in answer.data]
        np.testing.assert_allclose(vectors, ours["vectors"], atol=1e-5)
    assert answer.usage.prompt_tokens > len(TEXTS)
    assert [model.id for model in client.models.list()] == sorted(ours["adapters"])
    assert client.models.retrieve("spam").owned_by == "polygraft"
    (one,) = client.embeddings.create(model="embed", input=TEXTS[0]).data
    np.testing.assert_allclose(one.embedding, ours["vectors"][0], atol=1e-5)
    with pytest.raises(openai.NotFoundError, match="nope"):
        client.embeddings.create(model="nope", input="x")
    for wrong, why in (
        ({"input": [1, 2, 3]}, "token numbers"),
        ({"input": ["x", " "]}, r"input\[1\]: the text is empty"),
        ({"input": []}, "input is empty"),
        ({"input": "x", "dimensions": 7}, "not of 7"),
        ({"input": "x", "model": "spam"}, "gives no vectors"),
    ):
        with pytest.raises(openai.UnprocessableEntityError, match=why):
            client.embeddings.create(**({"model": "embed"} | wrong))


def test_inference_client(url: str, ours: dict[str, Any]) -> None:
    def ask(adapter: str) -> InferenceClient:
        return InferenceClient(f"{url}/hf/{adapter}")

    vector = ask("embed").feature_extraction(TEXTS[0])
    np.testing.assert_allclose(np.ravel(vector), ours["vectors"][0], atol=1e-5)
    labels = ask("spam").text_classification(TEXTS[0])
    assert [one.label for one in labels] == [one.label for one in ours["labels"][0].labels]
    assert len(ask("spam").text_classification(TEXTS[0], top_k=1)) == 1
    near = ask("embed").sentence_similarity(TEXTS[0], TEXTS)
    np.testing.assert_allclose(near, ours["vectors"] @ ours["vectors"][0], atol=1e-4)
    name, source, target = ours["direction"]
    written = ask(name).translation(TEXTS[1], src_lang=source, tgt_lang=target)
    assert written.translation_text == ours["translation"]
    for wrong in (
        lambda: ask("nope").text_classification("x"),
        lambda: ask("spam").text_classification("x", function_to_apply="sigmoid"),
        lambda: ask("embed").feature_extraction("x", normalize=False),
        lambda: ask("spam").token_classification("x", aggregation_strategy="simple"),
    ):
        with pytest.raises(HfHubHTTPError):
            wrong()


def test_text_embeddings_inference(url: str, ours: dict[str, Any]) -> None:
    """Requests as its own documentation has them; there is no client but `InferenceClient`."""

    def post(path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{url}/hf/{path}", json=body)

    body = {"inputs": TEXTS, "normalize": True, "truncate": False}
    np.testing.assert_allclose(post("embed/embed", body).json(), ours["vectors"], atol=1e-5)
    (nested,) = post("embed/embed", {"inputs": TEXTS[0]}).json()
    np.testing.assert_allclose(nested, ours["vectors"][0], atol=1e-5)
    one = post("spam/predict", {"inputs": TEXTS[0]}).json()
    assert one[0]["label"] == ours["labels"][0].label
    (first, _) = post("spam/predict", {"inputs": [[TEXTS[0]], [TEXTS[1]]]}).json()
    assert [label["label"] for label in first] == [label["label"] for label in one]
    assert first[0]["score"] == pytest.approx(one[0]["score"], abs=1e-5)
    likeness = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    assert len(post("embed/similarity", {"inputs": likeness}).json()) == 1
    info = httpx.get(f"{url}/hf/spam/info").json()
    assert info["model_id"] == "spam"
    for path, wrong, why in (
        ("spam/predict", {"inputs": [["a", "b"]]}, "pair of texts"),
        ("spam/predict", {"inputs": "a", "raw_scores": True}, "raw_scores"),
        ("spam/embed", {"inputs": "a"}, "is for classification"),
        ("embed/embed", {"inputs": "a", "prompt_name": "query"}, "prompt_name"),
        ("embed/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, "is empty"),
    ):
        refused = post(path, wrong)
        assert refused.status_code == 422
        assert why in refused.json()["error"]
        assert refused.json()["error_type"] in ("InvalidRow", "InvalidOption")
    malformed = httpx.post(f"{url}/hf/spam", content=b"{", headers={"content-type": "text/plain"})
    assert "not valid JSON" in malformed.json()["error"]


def test_triton(url: str, ours: dict[str, Any]) -> None:
    client = tritonclient.http.InferenceServerClient(url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    version = ours["adapters"]["embed"].version
    assert client.is_model_ready("embed", version)
    assert not client.is_model_ready("embed", "0")
    assert client.get_model_metadata("spam")["outputs"][0]["name"] == "label"
    assert {one["name"] for one in client.get_model_repository_index()} == {*ours["adapters"]}
    for binary in (True, False):
        given = tritonclient.http.InferInput("text", [2], "BYTES")
        given.set_data_from_numpy(np.array(TEXTS, object), binary_data=binary)
        wanted = [tritonclient.http.InferRequestedOutput("embedding", binary_data=binary)]
        answer = client.infer("embed", [given], version, outputs=wanted, request_id="7")
        np.testing.assert_allclose(answer.as_numpy("embedding"), ours["vectors"], atol=1e-5)
        assert answer.get_response()["model_version"] == version
        assert answer.get_response()["id"] == "7"
        labels = client.infer("spam", [given]).as_numpy("label")
        named = [one.decode() if isinstance(one, bytes) else one for one in labels]
        assert named == [row.label for row in ours["labels"]]
    name, _, target = ours["direction"]
    given = tritonclient.http.InferInput("text", [1], "BYTES")
    given.set_data_from_numpy(np.array(TEXTS[1:], object))
    written = client.infer(name, [given], parameters={"target": target}).as_numpy("translation")
    assert written[0].decode() == ours["translation"]
    client.close()


def tensor(**changes: Any) -> dict[str, Any]:
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["win"]}
    return {"inputs": [text | changes]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "inputs is a list of one tensor"),
        ({"inputs": [1]}, "inputs is a list of one tensor"),
        (tensor(datatype="FP32"), "its datatype is BYTES"),
        (tensor(shape=[2]), "shape is [2], and there are 1 texts"),
        (tensor(shape="x"), "shape is x"),
        (tensor(data=None), "data of the input is missing"),
        (tensor(data=[7]), "text"),
        (tensor() | {"parameters": {"beams": 4}}, "there is no parameter 'beams'"),
        (tensor() | {"outputs": [{"name": "logits"}]}, "there is no output 'logits'"),
        (tensor(parameters={"binary_data_size": 9}), "binary_data_size is 9, and 0 bytes follow"),
    ],
)
def test_a_tensor_that_cannot_be_read(url: str, body: dict[str, Any], why: str) -> None:
    refused = httpx.post(f"{url}/v2/models/spam/infer", json=body)
    assert refused.status_code == 422
    assert why in refused.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999"])
def test_a_header_that_cannot_be(url: str, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    refused = httpx.post(f"{url}/v2/models/spam/infer", content=b"{}", headers=headers)
    assert refused.status_code == 422


def test_bytes_that_end_too_early(url: str) -> None:
    head = (
        b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES",'
        b'"parameters":{"binary_data_size":7}}]}'
    )
    content = head + struct.pack("<I", 400) + b"win"
    headers = {"Inference-Header-Content-Length": str(len(head))}
    refused = httpx.post(f"{url}/v2/models/spam/infer", content=content, headers=headers)
    assert "longer than the bytes that were sent" in refused.json()["error"]


def test_a_version_that_is_not_there(url: str) -> None:
    missing = httpx.get(f"{url}/v2/models/spam/versions/0123456789ab")
    assert missing.status_code == 404
    assert "spam@" in missing.json()["error"]
