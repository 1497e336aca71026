"""The measure of the rooms (issue 16): a task is one folder (tests/toys/rating) and one line in the
registry, and everything takes it: recipe, training, card, library, engine in a mixed batch, HTTP,
`predict`, results table, report, guard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.reporting.page import gather, page
from polygraft.reporting.results import results_table
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks import registry
from polygraft.transfer import guard

TEXTS = {
    "win a free prize": 5.0,
    "claim free cash now": 4.0,
    "call now": 3.0,
    "hello mum": 1.0,
    "see you soon": 0.0,
}


@pytest.fixture(scope="module")
def shelf(
    backbone: Path, library: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    """A library with classifiers and one toy adapter, trained by the command."""
    home = tmp_path_factory.mktemp("shelf")
    shutil.copytree(library, home / "all")
    folder = home / "all" / "stars"
    folder.mkdir()
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"text": t, "rating": r}) + "\n" for t, r in TEXTS.items())
    )
    recipe = {
        "name": "stars",
        "task": "rating",
        "languages": ["en"],
        "file": "rows.jsonl",
        "lora": {"r": 4, "dropout": 0.0},
    }
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "tests" / "toys"))
        patch.setitem(registry.TASKS, "rating", "rating")
        result = CliRunner().invoke(
            app, ["train", str(folder / LAYOUT.recipe), "--backbone", str(backbone)]
        )
        assert result.exit_code == 0, result.output
        yield Library(home / "all")
    registry.served.cache_clear()


def test_it_is_answered_in_one_batch_with_others_over_http(shelf: Library, backbone: Path) -> None:
    host = Host(Engine(backbone, precision="fp32", slots=8), shelf)
    assert not host.refused
    with closing(host.engine), TestClient(create_app(lambda: host)) as client:
        rows = [{"adapter": "stars", "text": text} for text in TEXTS] + [
            {"adapter": "spam", "text": "call mum"}
        ]
        results = client.post("/v1/batch", json={"rows": rows}).json()["results"]
        assert results[-1]["label"] in ("ham", "spam")
        for result, wanted in zip(results[:-1], TEXTS.values(), strict=True):
            assert result["rating"] == pytest.approx(wanted, abs=1.0)
        assert results[0]["version"] == load_manifest(shelf.folder("stars")).version
        listed = {one["name"]: one for one in client.get("/v1/adapters").json()["adapters"]}
        assert (listed["stars"]["task"], listed["stars"]["labels"]) == ("rating", [])


def test_card_table_report_and_guard_know_it(shelf: Library, backbone: Path) -> None:
    folder = shelf.folder("stars")
    card = (folder / LAYOUT.card).read_text(encoding="utf-8")
    assert "A number for a text; trained from the bare backbone; backbone `" in card
    (line,) = [line for line in results_table(shelf).splitlines() if "stars" in line]
    assert line.startswith("| [stars](stars/README.md) | ")
    guard.check(load_manifest(folder))
    with closing(Engine(backbone, precision="fp32", slots=8)) as engine:
        assert "<p>Loss " in page(gather(engine, [folder]))
        (answer,) = (
            engine.answer([Row("stars", "x")])
            if engine.manifests()
            else ("removed after the report",)
        )
        assert answer == "removed after the report"


def test_predict_writes_its_answers(shelf: Library, backbone: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "win a free prize", "id": 1}\n')
    options = ["--input", str(source), "--output", str(target), "--backbone", str(backbone)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polygraft.cli.serving.default_library", lambda: shelf.root, raising=False)
        result = CliRunner().invoke(app, ["predict", str(shelf.folder("stars")), *options])
    assert result.exit_code == 0, result.output
    row = json.loads(target.read_text())
    assert row["id"] == 1
    assert row["rating"] == pytest.approx(5.0, abs=1.5)


def test_an_unregistered_task_is_refused_by_name(shelf: Library, tmp_path: Path) -> None:
    """In a process that knows no toy: the same folder is refused, by what it is."""
    folder = str(shelf.folder("stars"))
    code = (
        "from pathlib import Path; from polygraft.adapters.format import load_manifest as load; "
        f"load(Path({folder!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "task: 'rating' is not one of classification, translation, language" in done.stderr
