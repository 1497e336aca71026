"""Embedding adapters: trained from pairs, served beside others, cut, encoded, compared, drawn."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import peft
import pytest
import uvicorn
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from polygraft import Client
from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_backbone
from polygraft.cli import app
from polygraft.errors import GoldenMismatch, RecipeError, ServerError
from polygraft.reporting.page import gather, page
from polygraft.reporting.results import results_table
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve import auth
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import prepare, train

WORDS = "win free cash prize call now text hello mum dinner train late see you soon"
ENGLISH = WORDS.split()
TEXTS = ["win a free prize", "hello mum", "see you soon", "late train now"]


def pairs(start: int, count: int) -> str:
    """Three words and the same three from behind, all in capitals."""
    lines = []
    for i in range(start, start + count):
        words = [ENGLISH[(i * k + i // 15) % len(ENGLISH)] for k in (1, 4, 7)]
        lines.append(" ".join(words) + "\t" + " ".join(w.upper() for w in reversed(words)))
    return "\n".join(dict.fromkeys(lines))


def recipe(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    for name, start, count in (("train", 0, 150), ("dev", 400, 30), ("test", 800, 60)):
        (folder / f"{name}.tsv").write_text(pairs(start, count), encoding="utf-8")
    data = {
        split: [{"source": "en", "target": "yo", "file": f"{split}.tsv"}]
        for split in ("train", "dev", "test")
    }
    content = {
        "name": folder.name,
        "task": "embedding",
        "languages": ["en", "yo"],
        "data": data | {"on_leak": "drop"},
        "lora": {"r": 8, "alpha": 16},
        "dimensions": [8],
        "training": {
            "steps": 100,
            "pairs": 32,
            "neighbours": 0,
            "learning_rate": 0.02,
            "evaluations": 2,
            "bf16": False,
        },
    }
    content |= changes
    content = {name: value for name, value in content.items() if value is not None}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "recipe.yaml"


def frozen(folder: Path) -> Path:
    dev = [{"source": "en", "target": "yo", "file": "dev.tsv"}]
    changes = {"strategy": "frozen", "data": {"dev": dev}, "training": None}
    return recipe(folder, **changes, lora=None, dimensions=None)


def made(file: Path, backbone: Path) -> Path:
    train(prepare(load_recipe(file), file, backbone).job, file.parent)
    return file.parent


@pytest.fixture(scope="module")
def shelf(backbone: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, the bare backbone's vectors, and two adapters that learnt from pairs."""
    root = tmp_path_factory.mktemp("vectors")
    shutil.copytree(library / "spam", root / "spam")
    made(frozen(root / "embed"), backbone)
    made(recipe(root / "pairs"), backbone)
    options = {"steps": 60, "pairs": 32, "learning_rate": 0.02, "evaluations": 2, "bf16": False}
    made(recipe(root / "both", training=options | {"anchored": False, "neighbours": 3}), backbone)
    return root


@pytest.fixture(scope="module")
def host(backbone: Path, shelf: Path) -> Iterator[Host]:
    host = Host(Engine(backbone, precision="fp32", slots=8, cached=100), Library(shelf))
    yield host
    host.engine.close()


@pytest.fixture(scope="module")
def url(host: Host) -> Iterator[str]:
    auth.prepare()
    server = uvicorn.Server(uvicorn.Config(create_app(lambda: host), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_it_finds_more_than_the_bare_backbone(shelf: Path, backbone: Path) -> None:
    for name in ("pairs", "both"):
        manifest = load_manifest(shelf / name)
        assert manifest.dimensions == [32, 8]
        figures = manifest.metrics["retrieval"]["test"]["en-yo"]
        found = {rung: figure["value"] for rung, figure in figures["rungs"].items()}
        assert found["adapter"] > found["bare"]
        assert figures["gain_over_bare"]["low"] < found["adapter"] - found["bare"]
        assert set(figures["dimensions"]) == {"32", "8"}
        assert figures["dimensions"]["32"] == pytest.approx(found["adapter"], abs=0.06)
        assert name == "pairs" or figures["gain_over_bare"]["verdict"] == "helps"
        assert [*manifest.gains()] == ["retrieval en-yo"]
        model = peft.PeftModel.from_pretrained(load_backbone(backbone), shelf / name)
        assert model.peft_config["default"].r == 8
        card = (shelf / name / "README.md").read_text(encoding="utf-8")
        assert "| en-yo |" in card
        assert "Cut to fewer values" in card


def test_what_is_frozen_gives_the_bare_vectors_and_has_to(
    shelf: Path,
    backbone: Path,
    host: Host,
    tmp_path: Path,
    edit_manifest: Callable[..., None],
) -> None:
    rows = host.engine.answer([Row("embed", text) for text in TEXTS])
    np.testing.assert_allclose(
        np.stack([row.vector for row in rows]),  # type: ignore[union-attr]
        host.engine.vectors(TEXTS),
        atol=1e-5,
    )
    assert not load_manifest(shelf / "embed").trained
    moved = Path(shutil.copytree(shelf / "embed", tmp_path / "embed"))
    weights = load_file(moved / LAYOUT.weights)
    rng = np.random.default_rng(0)
    noisy = {k: rng.normal(size=w.shape).astype(w.dtype) for k, w in weights.items()}
    save_file(noisy, moved / LAYOUT.weights)
    edit_manifest(moved)
    with pytest.raises(GoldenMismatch, match="is the bare backbone by its manifest and moves"):
        host.engine.add(moved)


def test_vectors_are_answered_beside_labels_in_order(url: str) -> None:
    with Client(url) as client:
        rows = [
            {"adapter": adapter, "text": text}
            for text in TEXTS
            for adapter in ("embed", "spam", "pairs")
        ]
        together = client.batch(rows)
        assert [row.adapter for row in together] == [row["adapter"] for row in rows]
        streamed = list(client.stream(rows))
        for row, alone in zip(together[::3], client.embed(TEXTS), strict=True):
            assert row.embedding == pytest.approx(alone.embedding, abs=1e-5)
            assert row.dimensions == 32
            assert np.linalg.norm(row.embedding) == pytest.approx(1, abs=1e-4)
        for row, line in zip(together, streamed, strict=True):
            assert (row.label, row.dimensions) == (line.label, line.dimensions)
        one, another = together[0], together[2]
        assert one.embedding != pytest.approx(another.embedding, abs=0.01)


def test_each_encoding_is_the_same_vector(url: str) -> None:
    with Client(url) as client:
        for size in (None, 8):
            of = {"adapter": "pairs", "dimensions": size}
            (plain,) = client.embed("win cash", **of)
            vector = np.array(plain.embedding)
            assert len(vector) == (size or 32)
            (packed,) = client.embed("win cash", encoding="base64", **of)
            decoded = np.frombuffer(base64.b64decode(str(packed.embedding)), "<f4")
            np.testing.assert_allclose(decoded, vector, atol=1e-5)
            (whole,) = client.embed("win cash", encoding="int8", **of)
            assert whole.scale is not None
            assert max(map(abs, whole.embedding)) == 127  # type: ignore[arg-type]
            int8 = np.array(whole.embedding) * whole.scale
            np.testing.assert_allclose(int8, vector, atol=0.51 * whole.scale)
            (bits,) = client.embed("win cash", encoding="binary", **of)
            unpacked = np.unpackbits(np.array(bits.embedding, np.uint8))
            assert unpacked.tolist() == (vector > 0).tolist()


def test_a_shorter_vector_is_the_beginning_of_the_whole(url: str) -> None:
    with Client(url) as client:
        (whole,), (short,) = (
            client.embed("win cash", adapter="pairs", dimensions=size) for size in (32, 8)
        )
    beginning = np.array(whole.embedding)[:8]
    np.testing.assert_allclose(
        short.embedding,
        beginning / np.linalg.norm(beginning),
        atol=1e-5,  # type: ignore[arg-type]
    )


def test_similarity_is_the_cosine(url: str) -> None:
    with Client(url) as client:
        vectors = np.array([row.embedding for row in client.embed(TEXTS, adapter="pairs")])
        answer = client.similarity(TEXTS, adapter="pairs")
        np.testing.assert_allclose(answer.similarity, vectors @ vectors.T, atol=1e-4)
        assert answer.adapter == "pairs"
        beside = client.similarity(TEXTS[:1], TEXTS[1:], adapter="pairs")
        np.testing.assert_allclose(beside.similarity, (vectors @ vectors.T)[:1, 1:], atol=1e-4)
        with pytest.raises(ServerError, match=r"422.*against\.1: the text is empty"):
            client.similarity(TEXTS, ["win", " "])


BAD = [
    ({}, "exactly one of text or texts"),
    ({"text": "a", "texts": ["b"]}, "exactly one of text or texts"),
    ({"text": "a", "dimensions": 0}, "dimensions"),
    ({"text": "a", "dimensions": 16, "adapter": "pairs"}, "vectors of 32, 8 values, not of 16"),
    ({"text": "a", "dimensions": 8}, "vectors of 32 values, not of 8"),
    ({"text": "a", "encoding": "float16"}, "encoding"),
    ({"text": "a", "normalise": False}, "normalise"),
    ({"text": "a", "adapter": "spam"}, "classifies; send the text to /v1/classify"),
    ({"text": "a", "adapter": "nope"}, "nope"),
    ({"text": "win " * 2_000, "adapter": "pairs"}, "truncate"),
]


@pytest.mark.parametrize(("body", "message"), BAD)
def test_what_cannot_be_embedded_says_why(url: str, body: dict[str, Any], message: str) -> None:
    response = httpx.post(f"{url}/v1/embed", json=body)
    assert response.status_code in (404, 422)
    assert message in response.json()["error"]["message"]


def test_a_row_for_labels_has_no_dimensions(url: str) -> None:
    with Client(url) as client:
        (row,) = client.batch({"adapter": "spam", "text": "win", "dimensions": 8})
    assert row.error is not None
    assert "gives no vectors; leave dimensions and encoding out" in row.error.message


def test_reports_show_it(shelf: Path, host: Host) -> None:
    table = results_table(Library(shelf))
    assert "| [pairs](pairs/README.md) | en-yo | test (60) |" in table
    with_vectors = page(gather(host.engine, [shelf / "pairs", shelf / "embed"]))
    assert "Translations found on test" in with_vectors


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": {"dev": [{"source": "en", "target": "yo", "file": "dev.tsv"}]}}, "give pairs"),
        ({"strategy": "frozen"}, "frozen learns nothing: leave data.train, dimensions out"),
        ({"dimensions": [64]}, "dimensions: 64, and the backbone's vectors have 32 values"),
        ({"dimensions": [0]}, "dimensions"),
    ],
)
def test_a_recipe_that_makes_no_sense(
    backbone: Path, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    file = recipe(tmp_path / "mine", **changes)
    with pytest.raises(RecipeError, match=problem):
        prepare(load_recipe(file), file, backbone)


def test_the_map_is_drawn(shelf: Path, backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("win <b>cash</b>\nhello mum\nसुप्रभात", encoding="utf-8")
    (tmp_path / "b.txt").write_text("see you\nصباح الخير", encoding="utf-8")
    common = ["--adapter", str(shelf / "embed"), "--backbone", str(backbone)]

    def run(*options: str) -> Any:
        return CliRunner().invoke(app, ["heatmap", *options, *common])

    page, picture = tmp_path / "map.html", tmp_path / "map.png"
    both = ("--input", str(tmp_path / "a.txt"), "--against", str(tmp_path / "b.txt"))
    assert run(*both, "--output", str(page)).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "win &lt;b&gt;cash" in html
    assert "صباح" in html
    assert html.count("<td") == 6
    assert run(*both, "--output", str(picture)).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = json.loads(run("--input", str(tmp_path / "a.txt"), "--json").stdout)
    assert np.diag(printed["similarity"]) == pytest.approx(1, abs=1e-4)
    (tmp_path / "none.txt").write_text("\n", encoding="utf-8")
    assert run("--input", str(tmp_path / "none.txt")).exit_code == 1
    assert run(*both, "--output", str(tmp_path / "map.gif")).exit_code == 1
    spam = ["heatmap", *both, "--adapter", str(shelf / "spam"), "--backbone", str(backbone)]
    assert CliRunner().invoke(app, [*spam, "--output", str(page)]).exit_code == 1
