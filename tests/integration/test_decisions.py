"""Decisions from the recipe to the answer (issue 17): an adapter is trained with `decide`, its card
and page say what was found, and it decides over HTTP and in files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.errors import InvalidRow
from polygraft.reporting.page import gather, page
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.translation.serving import Translation

SPAM = [f"{a} {b} {c}" for a in ("win", "claim", "text") for b in ("free", "cash", "prize", "call")
        for c in ("money today", "reward here", "bonus online")]  # fmt: skip
HAM = [f"{a} {b} {c}" for a in ("hello", "see you", "hi") for b in ("mum", "dinner", "train", "dad")
       for c in ("this evening", "on friday", "after work")]  # fmt: skip
DECIDE = {
    "block": {"label": "spam", "precision": 0.8},
    "never": {"label": "spam", "precision": 0.99},
    "review": {"label": "spam", "recall": 0.8},
}


def write(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    for split, start in (("train", 0), ("dev", 1), ("test", 2)):
        ends = ("", " please", " as ever") if split == "test" else ("",)  # 42 rows can tell
        rows = [
            {"text": text + end, "label": label}
            for label, texts in (("spam", SPAM), ("ham", HAM))
            for i, text in enumerate(texts)
            for end in ends
            if (max(0, i % 5 - 2)) == start
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    content = {
        "name": folder.name,
        "languages": ["en"],
        "positive": "spam",
        "strategy": "head",
        "decide": DECIDE,
        "data": {f: f"{f}.jsonl" for f in ("train", "dev", "test")},
    }
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return folder / LAYOUT.recipe


@pytest.fixture(scope="module")
def trained(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The library with the adapter, and what training printed."""
    library = tmp_path_factory.mktemp("decisions")
    recipe = write(library / "filter")
    result = CliRunner(env={"COLUMNS": "300"}).invoke(
        app, ["train", str(recipe), "--backbone", str(backbone), "--allow-leak", "made up"]
    )
    assert result.exit_code == 0, result.output
    return library, result.output


@pytest.fixture(scope="module")
def client(backbone: Path, trained: tuple[Path, str]) -> Iterator[TestClient]:
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(trained[0]))
    with closing(host.engine), TestClient(create_app(lambda: host)) as client:
        yield client


def test_training_says_what_was_found(trained: tuple[Path, str]) -> None:
    library, printed = trained
    manifest = load_manifest(library / "filter", ClassificationManifest)
    assert list(manifest.decide) == list(DECIDE)
    block, never, review = manifest.decide.values()
    assert block.precision is not None
    assert review.recall is not None
    assert block.precision.low >= 0.8
    assert review.recall.low >= 0.8
    assert (block.rows, block.positives) == (58, 29)
    assert never.threshold is None
    assert set(manifest.metrics["decisions"]) == {"block", "review"}
    assert set(manifest.metrics["calibration"]) == {"before", "after"}
    table = manifest.metrics["precision_recall"]["spam"]
    assert [row["threshold"] for row in table] == sorted(row["threshold"] for row in table)
    recalls = [row["recall"] for row in table]
    assert recalls == sorted(recalls, reverse=True)
    card = (library / "filter" / LAYOUT.card).read_text(encoding="utf-8")
    why = "`never` (`spam`, precision 0.99) has no threshold"
    assert why in card
    assert "takes 299 different rows" in card
    assert "Expected calibration error" in card
    assert "`spam` by its score, test split" in card
    assert "takes 299 different rows" in " ".join(printed.split())


def test_the_page_draws_both_curves_and_the_decisions(
    trained: tuple[Path, str], backbone: Path
) -> None:
    with closing(Engine(backbone)) as engine:
        shown = page(gather(engine, [trained[0] / "filter"]))
    assert "error: before" in shown
    assert "served" in shown
    assert "Decisions, percent" in shown
    assert "takes 299 different rows" in shown


def ask(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    response = client.post("/v1/classify", json={"adapter": "filter", "texts": SPAM + HAM} | body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_an_answer_carries_the_first_decision_that_its_score_reaches(client: TestClient) -> None:
    (adapter,) = client.get("/v1/adapters").json()["adapters"]
    thresholds = {name: d["threshold"] for name, d in adapter["decide"].items()}
    decisions = set()
    for result in ask(client):
        score = next(one["score"] for one in result["labels"] if one["label"] == "spam")
        reached = [n for n, t in thresholds.items() if t is not None and score >= t]
        assert result.get("decision") == next(iter(reached), None)
        decisions.add(result.get("decision"))
    assert decisions >= {None, "block"}


def test_top_k_does_not_change_the_decision(client: TestClient) -> None:
    cut = ask(client, top_k=1)
    assert all(len(result["labels"]) == 1 for result in cut)
    assert [r.get("decision") for r in cut] == [r.get("decision") for r in ask(client)]


def test_a_request_may_set_its_own_threshold(client: TestClient) -> None:
    middle = sorted(result["score"] for result in ask(client))[36]
    results = ask(client, threshold=middle)
    for result in results:
        assert result.get("decision") == (result["label"] if result["score"] >= middle else None)
    assert {result.get("decision") for result in results} >= {None, "ham"}


def test_rows_have_a_threshold_each(client: TestClient) -> None:
    row = {"adapter": "filter", "text": SPAM[0]}
    rows = [{**row, "threshold": t} for t in (0, 1, 2, "x", None)]
    for route in ("classify", "batch"):
        answers = client.post(f"/v1/{route}", json={"rows": rows}).json()["results"]
        assert answers[0]["decision"] == answers[0]["label"]
        assert "decision" not in answers[1]
        assert "a score lies within 0 and 1" in answers[2]["error"]["message"]
        assert "threshold" in answers[3]["error"]["message"]
        assert answers[4]["decision"] == "block"
    beside = client.post("/v1/classify", json={"rows": rows, "threshold": 0.5})
    assert beside.status_code == 422
    assert "each row says its own threshold" in beside.json()["error"]["message"]


@pytest.mark.parametrize("threshold", ["2", "-0.1", "NaN", "1e999", '"0.5"', "true"])
def test_a_threshold_that_is_no_score_is_refused(client: TestClient, threshold: str) -> None:
    body = '{"adapter": "filter", "texts": ["x"], "threshold": ' + threshold + "}"
    response = client.post(
        "/v1/classify", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 422, response.text
    assert "threshold" in response.json()["error"]["message"]


def test_a_translator_has_nothing_to_decide() -> None:
    row = Row("en-fr", "hello", threshold=0.5)
    with pytest.raises(InvalidRow, match="no labels to decide for"):
        Translation().plan(row, adapter=None, stack=[], encoder=None)  # type: ignore[arg-type]


def test_predict_writes_the_decision_and_takes_a_threshold(
    trained: tuple[Path, str], backbone: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": SPAM[0], "decision": "stale"}, {"text": HAM[0], "decision": "stale"}]
    source.write_text("\n".join(map(json.dumps, rows)))

    def predicted(*options: str) -> list[str | None]:
        files = ["--input", str(source), "--output", str(target), "--backbone", str(backbone)]
        folder = str(trained[0] / "filter")
        result = CliRunner().invoke(app, ["predict", folder, *files, *options])
        assert result.exit_code == 0, result.output
        return [json.loads(line).get("decision") for line in target.read_text().splitlines()]

    assert predicted() == ["block", None]
    assert predicted("--threshold", "0") == ["spam", "ham"]
    assert predicted("--threshold", "1") == [None, None]


def test_without_rows_held_out_nothing_is_promised(backbone: Path, tmp_path: Path) -> None:
    """One row a label, so no fold, and dev rows that were trained on: no threshold, and the
    manifest says why."""
    data = {"train": "train.jsonl", "dev": "train.jsonl", "test": "test.jsonl", "shots": 1}
    recipe = write(tmp_path / "few", data=data)
    result = CliRunner().invoke(
        app, ["train", str(recipe), "--backbone", str(backbone), "--allow-leak", "made up"]
    )
    assert result.exit_code == 0, result.output
    manifest = load_manifest(tmp_path / "few", ClassificationManifest)
    assert {decision.threshold for decision in manifest.decide.values()} == {None}
    assert all("no row was held out" in (d.why or "") for d in manifest.decide.values())
    assert "decisions" not in manifest.metrics
