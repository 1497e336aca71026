"""`explain` from the request to the answer: over HTTP, by the client's schema, by `predict`, and in
the report."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from polygraft.adapters.format import HASHED, LAYOUT, sha256
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.data.splits import Split
from polygraft.reporting import page
from polygraft.runtime.admission import units
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.schemas.row import ClassifyResponse, RowOut
from polygraft.tasks.classification.features import HASH
from polygraft.tasks.classification.lexical import Lexical
from polygraft.tasks.classification.lexical_training import fit_lexical

TEXT = "WIN a FREE phone now! Text WIN to 80182"
NEURAL, LEXICAL = 0.5, 3.0
SPAM = [f"WIN a free prize now! Text CLAIM to 8{i}2{i}" for i in range(20)]
HAM = [f"see you at home tonight, mum {i}" for i in range(20)]
ROWS = Split(SPAM + HAM, ["spam"] * 20 + ["ham"] * 20, [])


@pytest.fixture(scope="module")
def part() -> Lexical:
    fitted = fit_lexical(ROWS, ["ham", "spam"], [])
    assert fitted
    return fitted.part


@pytest.fixture(scope="module")
def served(library: Path, part: Lexical, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's three adapters without a lexical part, and `hybrid`: `spam` with one, and with
    a further head."""
    root = Path(shutil.copytree(library, tmp_path_factory.mktemp("explain") / "library"))
    folder = Path(shutil.copytree(root / "spam", root / "hybrid"))
    head = load_file(folder / LAYOUT.head)
    further = {"mood.weight": np.ones((3, 32), np.float32), "mood.bias": np.arange(3, dtype="f4")}
    join = {"join": np.array([NEURAL, LEXICAL], np.float32)}
    save_file({**head, **further, **join, **part.tensors()}, folder / LAYOUT.head)
    file = folder / LAYOUT.manifest
    manifest = json.loads(file.read_text(encoding="utf-8"))
    for golden in manifest["golden"]:
        golden["lexical"] = part.logits(golden["text"]).tolist()
    manifest |= {"name": "hybrid", "lexical": HASH, "heads": {"mood": ["bad", "so-so", "good"]}}
    manifest["files"] = {name: sha256(folder / name) for name in HASHED}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def host(backbone: Path, served: Path) -> Iterator[Host]:
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(served))
    assert not host.refused
    yield host
    host.engine.close()


@pytest.fixture(scope="module")
def client(host: Host) -> TestClient:
    return TestClient(create_app(lambda: host))


def asked(client: TestClient, body: dict[str, Any], path: str = "/v1/classify") -> list[RowOut]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return ClassifyResponse.model_validate(response.json()).results


def log_odds(result: RowOut) -> float:
    """Of the label answered: half of it is the centred logit, where there are two labels."""
    assert result.score is not None
    return math.log(result.score / (1 - result.score))


def test_the_words_that_make_it_spam_are_named(client: TestClient, part: Lexical) -> None:
    (result,) = asked(client, {"adapter": "hybrid", "text": TEXT, "explain": True})
    assert result.label == "spam"
    assert result.explanation
    assert result.explanation.label == "spam"
    spans = result.explanation.spans
    assert [span.text for span in spans] == [
        *("WIN", "a", "FREE", "phone", "now", "!", "Text", "WIN", "to", "80182"),
    ]
    assert all(TEXT[span.start : span.end] == span.text for span in spans)
    strongest = sorted(spans, key=lambda span: -(span.lexical or 0))[:6]
    assert {"WIN", "FREE", "now"} <= {span.text for span in strongest}
    bias = result.explanation.bias
    lexical = sum(span.lexical or 0 for span in spans) + (bias.lexical or 0)
    assert lexical == pytest.approx(LEXICAL * float(part.logits(TEXT)[1]), abs=1e-4)
    neural = sum(span.neural or 0 for span in spans) + (bias.neural or 0)
    assert lexical + neural == pytest.approx(log_odds(result) / 2, abs=1e-3)


def test_an_explained_row_is_answered_like_any_other(client: TestClient) -> None:
    """One mixed request: with and without a lexical part, several heads, a stack, `top_k`, errors
    in their place; each as it is answered alone and unexplained."""
    rows: list[dict[str, Any]] = [
        {"adapter": "hybrid", "text": TEXT},
        {"adapter": "spam", "text": "see you soon, mum"},
        {"adapter": "hybrid", "head": "mood", "text": "dinner 😀 tonight"},
        {"stack": ["mood", {"adapter": "hybrid", "weight": 0.5}], "text": "ọjọ́ dára, claim cash"},
        {"adapter": "topic", "text": "消息免费"},
        {"adapter": "hybrid", "text": "win " * 200, "truncate": True},
        {"adapter": "hybrid", "text": "win " * 200},
        {"adapter": "hybrid", "text": " "},
        {"adapter": "nope", "text": "x"},
    ]
    plain = asked(client, {"rows": rows, "top_k": 2}, "/v1/batch")
    explained = [row | {"explain": i != 1} for i, row in enumerate(rows)]
    for path in ("/v1/batch", "/v1/classify"):
        results = asked(client, {"rows": explained, "top_k": 2}, path)
        for i, (result, alone) in enumerate(zip(results, plain, strict=True)):
            has_one = i != 1 and not result.error
            assert (result.explanation is not None) == has_one, i
            assert result.error == alone.error
            assert (result.label, len(result.labels or [])) == (
                alone.label,
                len(alone.labels or []),
            )
            if result.explanation:
                assert result.score == pytest.approx(alone.score, abs=1e-5)
                assert result.explanation.label == result.label
                with_lexical = rows[i].get("head") is None and rows[i].get("adapter") != "topic"
                assert (result.explanation.bias.lexical is not None) == with_lexical


def test_a_neural_push_is_what_asking_without_the_span_shows(client: TestClient) -> None:
    """Against a slow reference: each variant of the text asked as a row of its own, of an adapter
    that has but the neural part, of weight 1."""
    text = "claim your prize, call now"
    spans = ["claim", "your", "prize", ",", "call", "now"]
    variants = [text.replace(span, " ") for span in spans]
    whole, *without = asked(client, {"adapter": "spam", "texts": [text, *variants]})
    (result,) = asked(client, {"adapter": "spam", "text": text, "explain": True})
    assert result.explanation
    assert [span.text for span in result.explanation.spans] == spans
    wanted = [
        (log_odds(whole) - (1 if one.label == whole.label else -1) * log_odds(one)) / 2
        for one in without
    ]
    pushes = [span.neural for span in result.explanation.spans]
    assert pushes == pytest.approx(wanted, abs=1e-3)
    assert max(map(abs, wanted)) > 0.01, "else nothing is compared"


def test_more_than_sixteen_rows_are_refused_whole(client: TestClient) -> None:
    row = {"adapter": "spam", "text": "win cash"}
    sixteen = [row | {"explain": True}] * 16
    assert len(asked(client, {"rows": [*sixteen, row, row]}, "/v1/batch")) == 18
    for path, body in (
        ("/v1/batch", {"rows": [*sixteen, sixteen[0]]}),
        ("/v1/classify", {"rows": [*sixteen, sixteen[0]]}),
        ("/v1/classify", {"adapter": "spam", "texts": ["win"] * 17, "explain": True}),
    ):
        response = client.post(path, json=body)
        assert response.status_code == 422
        assert "17 rows are to be explained, at most 16" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rows": [{"adapter": "spam", "text": "x"}], "explain": True}, "its own explain"),
        ({"adapter": "spam", "text": "x", "explain": "yes"}, "explain: "),
        ({"adapter": "spam", "text": "x", "explain": None}, "explain: "),
    ],
)
def test_what_explain_must_not_be(client: TestClient, body: dict[str, Any], told: str) -> None:
    response = client.post("/v1/classify", json=body)
    assert response.status_code == 422
    assert told in response.json()["error"]["message"]


def test_explained_work_is_given_back(host: Host, client: TestClient) -> None:
    rows = [Row("hybrid", TEXT, explain=True), Row("hybrid", "x " * 600, explain=True)]
    futures = host.engine.submit(rows)
    assert host.engine.admission.under_way <= sum(map(units, rows))
    futures[0].cancel()
    futures[1].result()
    assert (host.engine.admission.under_way, host.engine.leases) == (0, 0)
    assert asked(client, {"adapter": "hybrid", "text": TEXT})[0].label == "spam"


def test_predict_explains(
    served: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(backbone))
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    stale = {"text": TEXT, "explanation": "stale"}
    texts = [{"text": "see you, mum"}] * 20 + [{"text": " "}]
    source.write_text("\n".join(map(json.dumps, [stale, *texts])), encoding="utf-8")
    command = ["predict", str(served / "hybrid"), "--input", str(source), "--output", str(target)]
    result = CliRunner().invoke(app, [*command, "--explain"])
    assert result.exit_code == 3, result.output
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [("explanation" in row, "error" in row) for row in rows] == [
        *[(True, False)] * 21,
        (False, True),
    ]
    assert rows[0]["label"] == rows[0]["explanation"]["label"] == "spam"
    for row in rows[:2]:
        for span in row["explanation"]["spans"]:
            assert row["text"][span["start"] : span["end"]] == span["text"]
            assert {"lexical", "neural"} < set(span)
    assert CliRunner().invoke(app, command).exit_code == 3
    assert "explanation" not in target.read_text(encoding="utf-8")


def test_the_report_colours_examples_and_names_the_strongest(
    served: Path, backbone: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(served / "hybrid", tmp_path / "hybrid"))
    for split, part in (("train", slice(0, 14)), ("dev", slice(14, 17)), ("test", slice(17, 20))):
        rows = [{"text": f"{t} <b>", "label": "spam"} for t in SPAM[part]]
        rows += [{"text": f"{t} <b>", "label": "ham"} for t in HAM[part]]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = {
        "name": "hybrid",
        "languages": ["en"],
        "data": {split: f"{split}.jsonl" for split in ("train", "dev", "test")},
    }
    (folder / LAYOUT.recipe).write_text(json.dumps(recipe))
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    figure = {"macro_f1": {"value": 50.0, "low": 40.0, "high": 60.0}}
    manifest["metrics"] = {
        "split": "test",
        "rows": 6,
        "ladder": dict.fromkeys(("majority", "tfidf", "adapter"), figure),
    }
    manifest["files"] = {name: sha256(folder / name) for name in HASHED}
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    engine = Engine(backbone, precision="fp32", slots=4)
    try:
        gathered = json.loads(json.dumps(page.gather(engine, [folder])))
    finally:
        engine.close()
    shown = gathered[0]["explained"]
    assert {example["label"] for example in shown["examples"]} == {"ham", "spam"}
    assert shown["strongest"]["read"] == shown["strongest"]["texts"] == 34
    words = {
        label: {word for name, _ in best["words"] for word in name.split()}
        for label, best in shown["strongest"]["labels"].items()
    }
    assert {"win", "free", "prize"} & words["spam"]
    assert {"see", "home", "mum"} & words["ham"]
    html = page.page(gathered)
    assert "Strongest words and n-grams" in html
    assert "of 34 training and held-out texts" in html
    assert 'title="lexical +' in html
    assert "towards: " in html
    assert ">&lt;</span>" in html, "what a text has of HTML is escaped"
