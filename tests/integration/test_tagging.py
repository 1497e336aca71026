"""A tagger from its recipe to its answers, on the tiny backbone: trained by the command, verified,
served over HTTP beside classifiers, asked by both clients and by `predict`."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from huggingface_hub import TokenClassificationOutputElement
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.client import AsyncClient, Client
from polygraft.client import blocking as client_module
from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.reporting.page import gather, page
from polygraft.reporting.results import results_table
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.tagging import model
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.rows import TaggedRow, TagSet
from polygraft.tasks.tagging.serving import Tagged
from polygraft.tasks.tagging.states import states_of

NAMES = {"PER": ["Mum Win", "Soon", "Dinner"], "LOC": ["Train Late", "Tonight"]}
PLAIN = ["free", "call", "now", "claim", "text", "cash", "hello", "see", "you"]


def sentence(draw: random.Random) -> dict[str, list[str]]:
    """Words in small letters, names in capitals: something to learn."""
    tokens, tags = list[str](), list[str]()
    for _ in range(draw.randint(2, 6)):
        if draw.random() < 0.4:
            label = draw.choice(sorted(NAMES))
            words = draw.choice(NAMES[label]).split()
            tags += [f"B-{label}", *[f"I-{label}"] * (len(words) - 1)]
        else:
            words = [draw.choice(PLAIN)]
            tags.append("O")
        tokens += words
    return {"tokens": tokens, "tags": tags}


def write_rows(folder: Path) -> None:
    for name, seed, count in (("train", 1, 60), ("dev", 2, 20), ("test", 3, 30)):
        draw = random.Random(seed)
        rows = "".join(json.dumps(sentence(draw)) + "\n" for _ in range(count))
        (folder / f"{name}.jsonl").write_text(rows)


def train(home: Path, backbone: Path, name: str, *options: str, **fields: object) -> Path:
    folder = home / name
    folder.mkdir()
    write_rows(folder)
    recipe = {
        "name": name,
        "task": "tagging",
        "languages": ["en"],
        "data": {f"{s}": f"{s}.jsonl" for s in ("train", "dev", "test")} | {"on_leak": "drop"},
        "training": {"epochs": 4, "batch_size": 8, "max_length": 32, "bf16": False},
        "lora": {"r": 4, "dropout": 0.0},
    }
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(recipe | fields))
    command = ["train", str(folder / LAYOUT.recipe), "--backbone", str(backbone), *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def shelf(
    backbone: Path, library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    """A library of classifiers, a tagger with LoRA, one without, and one that tags every word."""
    home = tmp_path_factory.mktemp("shelf") / "all"
    shutil.copytree(library, home)
    train(home, backbone, "names", strategy="lora")
    train(home, backbone, "names-head", strategy="head")
    train(home, backbone, "kinds", strategy="lora", scheme="none")
    return Library(home)


@pytest.fixture(scope="module")
def host(shelf: Library, backbone: Path) -> Iterator[Host]:
    host = Host(Engine(backbone, precision="fp32", slots=16), shelf)
    assert not host.refused
    with closing(host.engine):
        yield host


@pytest.fixture(scope="module")
def http(host: Host) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: host)) as client:
        yield client


def test_it_learns_and_is_scored_beside_its_baselines(shelf: Library) -> None:
    metrics = load_manifest(shelf.folder("names"), TaggingManifest).metrics
    assert list(metrics["ladder"]) == ["frequent", "crf", "head", "lexical", "adapter"]
    assert metrics["ladder"]["adapter"]["entity_f1"]["value"] > 80
    assert set(metrics["by_label"]) == {"PER", "LOC"}
    assert metrics["gain_over_baselines"]["over"] in ("frequent", "crf", "head", "lexical")
    assert load_manifest(shelf.folder("kinds")).metrics["metric"] == "accuracy"
    card = (shelf.folder("names") / LAYOUT.card).read_text(encoding="utf-8")
    assert "pipeline_tag: token-classification" in card
    assert "CRF on hand features (python-crfsuite)" in card


def test_served_answers_are_those_of_training(shelf: Library, host: Host) -> None:
    """The engine's spans of the test rows, as tags, are scored like the torch model was."""
    from polygraft.tasks.tagging.data import read_split
    from polygraft.tasks.tagging.metrics import score

    for name in ("names", "names-head"):
        rows = read_split(shelf.folder(name) / LAYOUT.recipe, "test")
        assert rows
        answers = host.engine.answer([Row(name, row.text) for row in rows])
        tagged = [_tags(row, answer) for row, answer in zip(rows, answers, strict=True)]
        served = score([row.tags for row in rows], tagged, "BIO")
        metrics = load_manifest(shelf.folder(name)).metrics
        assert served == pytest.approx(metrics["ladder"]["adapter"]["entity_f1"]["value"], abs=0.02)


def _tags(row: TaggedRow, answer: object) -> list[str]:
    assert isinstance(answer, Tagged)
    starts = np.cumsum([0, *(len(token) + 1 for token in row.tokens)]).tolist()
    tags = ["O"] * len(row.tokens)
    for span in answer.tags:
        first, end = starts.index(span.start), starts.index(span.end + 1)
        tags[first:end] = [f"I-{span.label}"] * (end - first)
        tags[first] = f"B-{span.label}"
    return tags


def test_one_batch_of_taggers_and_classifiers_over_http(http: TestClient) -> None:
    text = "hello  Mum Win 👋 claim now, Tonight\u0301"
    rows = [
        {"adapter": "names", "text": text},
        {"adapter": "spam", "text": "call mum"},
        {"adapter": "kinds", "text": "see Soon"},
        {"adapter": "names-head", "text": "call now"},
        {"adapter": "names", "text": "\x07"},
        {"adapter": "topic", "text": "win cash"},
    ]
    results = http.post("/v1/batch", json={"rows": rows}).json()["results"]
    assert [result["adapter"] for result in results] == [row["adapter"] for row in rows]
    for span in results[0]["spans"]:
        assert text[span["start"] : span["end"]] == span["text"]
        assert span["label"] in NAMES
        assert 0 < span["score"] <= 1
    assert ("Mum Win", "PER") in [(s["text"], s["label"]) for s in results[0]["spans"]]
    assert results[1]["label"] in ("ham", "spam")
    assert [tag["text"] for tag in results[2]["word_tags"]] == ["see", "Soon"]
    assert results[3]["spans"] == []
    assert "nothing is left of the text" in results[4]["error"]["message"]
    alone = http.post("/v1/tag", json={"adapter": "names", "text": text}).json()["results"]
    assert alone == results[:1]


def test_rows_by_the_thousand_hold_taggers_too(http: TestClient) -> None:
    rows = [{"adapter": "names", "text": "see Soon"}, {"adapter": "spam", "text": "free"}] * 40
    body = "".join(json.dumps(row) + "\n" for row in rows)
    lines = http.post("/v1/stream", content=body).text.strip().split("\n")
    answers = [json.loads(line) for line in lines]
    assert [a["row"] for a in answers] == list(range(80))
    assert all(("spans" in a) == (a["adapter"] == "names") for a in answers)


def test_each_route_names_the_right_one_for_another_task(http: TestClient) -> None:
    wrong = http.post("/v1/tag", json={"adapter": "spam", "text": "x"})
    assert wrong.status_code == 422
    assert "classifies; send the text to /v1/classify, or the row to /v1/batch" in wrong.text
    wrong = http.post("/v1/classify", json={"adapter": "names", "text": "x"})
    assert "tags words; send the text to /v1/tag, or the row to /v1/batch" in wrong.text
    mixed = http.post(
        "/v1/tag",
        json={"rows": [{"adapter": "names", "text": "x"}, {"adapter": "spam", "text": "x"}]},
    ).json()["results"]
    assert ["error" in result for result in mixed] == [False, True]
    unknown = http.post("/v1/tag", json={"adapter": "names", "text": "x", "top_k": 2})
    assert unknown.status_code == 422
    assert "top_k" in unknown.text
    listed = {one["name"]: one for one in http.get("/v1/adapters").json()["adapters"]}
    assert listed["names"]["labels"] == ["LOC", "PER"]


def test_a_long_text_is_read_to_its_end(host: Host) -> None:
    """In windows that overlap; a name in the middle of a cut is found like one at the beginning."""
    text = "hello Mum Win call now " * 120
    (answer,) = host.engine.answer([Row("names", text)])
    assert isinstance(answer, Tagged)
    assert [tag.start for tag in answer.tags] == [6 + 23 * i for i in range(120)]


def test_both_clients_tag(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.ASGITransport(app=create_app(lambda: host))

    async def ask() -> list[object]:
        async with AsyncClient("http://test") as client:
            client._http = httpx.AsyncClient(transport=transport, base_url="http://test")
            (result,) = await client.tag("names", "see Mum Win")
            return [result.spans]

    (spans,) = asyncio.run(ask())
    with TestClient(create_app(lambda: host)) as inner, Client("http://test") as client:
        monkeypatch.setattr(client, "_http", inner)
        (result,) = client.tag("names", ["see Mum Win"], language="en")
        (tags,) = client.tag("kinds", "see Soon")
    assert result.spans == spans
    assert [(s.text, s.label) for s in result.spans or []] == [("Mum Win", "PER")]
    assert [tag.label for tag in tags.word_tags or []] == ["O", "B-PER"]
    assert client_module.Client is Client


def test_predict_writes_spans(shelf: Library, backbone: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "see Mum Win", "id": 1}\n')
    options = ["--input", str(source), "--output", str(target), "--backbone", str(backbone)]
    result = CliRunner().invoke(app, ["predict", str(shelf.folder("names")), *options])
    assert result.exit_code == 0, result.output
    row = json.loads(target.read_text())
    assert (row["id"], row["spans"][0]["start"], row["spans"][0]["label"]) == (1, 4, "PER")


def test_table_and_report_know_taggers(shelf: Library, backbone: Path) -> None:
    (line,) = [x for x in results_table(shelf).split("\n") if x.startswith("| [names](")]
    assert "entity f1" in line
    with closing(Engine(backbone, precision="fp32", slots=8)) as engine:
        html = page(gather(engine, [shelf.folder("names"), shelf.folder("kinds")]))
    assert "Tagging, by adapter" in html
    assert "rows have a mistake" in html


def test_a_child_starts_from_its_parent(shelf: Library, backbone: Path, tmp_path: Path) -> None:
    """Its whole head too: where nothing is trained to speak of, it answers as the parent did."""
    shutil.copytree(shelf.folder("names"), tmp_path / "names")
    training = {
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-9,
        "max_length": 32,
        "bf16": False,
    }
    child = train(
        tmp_path,
        backbone,
        "child",
        "--full-ladder",
        parent="names",
        training=training,
        lora={"r": 4},
    )
    metrics = load_manifest(child).metrics
    assert metrics["ladder"]["zero_shot"] == metrics["ladder"]["adapter"]
    assert metrics["ladder"]["adapter"]["entity_f1"]["value"] > 80
    assert metrics["gain_from_transfer"]["verdict"] in ("helps", "harms", "no evidence")
    assert "target_only" in metrics["ladder"]


@pytest.mark.parametrize("part", ["weight", "transitions", "lexical.weight"])
def test_a_head_that_does_not_fit_is_refused(
    part: str, shelf: Library, tmp_path: Path, edit_manifest: object
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "names"
    shutil.copytree(shelf.folder("names"), folder)
    tensors = load_file(folder / LAYOUT.head)
    tensors[part] = tensors[part][:-1]
    save_file(tensors, folder / LAYOUT.head)
    edit_manifest(folder)  # type: ignore[operator]
    with pytest.raises(AdapterError, match="does not fit"):
        load_adapter(folder)


@pytest.mark.parametrize("part", ["weight", "lexical.weight"])
def test_goldens_notice_another_head(
    part: str, shelf: Library, backbone: Path, tmp_path: Path, edit_manifest: object
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "names"
    shutil.copytree(shelf.folder("names"), folder)
    tensors = load_file(folder / LAYOUT.head)
    tensors[part] = -tensors[part]
    save_file(tensors, folder / LAYOUT.head)
    edit_manifest(folder)  # type: ignore[operator]
    with closing(Engine(backbone, precision="fp32", slots=8)) as engine:
        engine.add(shelf.folder("names"))
        with pytest.raises(GoldenMismatch, match="when it was trained"):
            engine.add(folder)


def test_the_loss_of_training_is_the_chain_that_is_served(backbone: Path) -> None:
    """Minus the log of the probability that the served chain gives to the right tags; rows of
    several lengths in one batch, padded."""
    torch.manual_seed(0)
    tag_set = TagSet("BIO", ["A", "B"])
    head = model.ChainHead(8, tag_set, None)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    states = torch.randn(3, 5, 8)
    labels = torch.tensor([[0, 1, 2, 0, 3], [1, 2, 2, -100, -100], [0, -100, -100, -100, -100]])
    emissions = head(states, None)
    served, total = head.as_served(), 0.0
    for row, tags in enumerate(labels):
        path = tags[tags >= 0].numpy()
        of_row = served.neural(states[row, : len(path)].numpy())
        sums = served.chain.sums(of_row)
        total -= np.log(sums.span(0, path, np.zeros(5, bool)))
    assert head.loss(emissions, labels).item() == pytest.approx(total / 9, rel=1e-4)


def test_states_do_not_depend_on_the_rows_beside(backbone: Path) -> None:
    from polygraft.architectures.loading import load_backbone

    rows = [
        TaggedRow.of(text.split(), ["O"] * len(text.split())) for text in ("see you", "a " * 40)
    ]
    encoder, bare = load_encoder(backbone), load_backbone(backbone)
    together = states_of(bare, encoder, rows, 32)
    for row, states in zip(rows, together, strict=True):
        np.testing.assert_allclose(states_of(bare, encoder, [row], 32)[0], states, atol=2e-3)
    assert len(together[1]) == 40


def test_hugging_faces_client_reads_it(http: TestClient) -> None:
    text = "hello Mum Win, see you Tonight"
    body = {"inputs": text, "parameters": {"aggregation_strategy": "simple"}}
    answered = http.post("/hf/names", json=body)
    groups = TokenClassificationOutputElement.parse_obj_as_list(answered.json())
    (row,) = http.post("/v1/tag", json={"adapter": "names", "texts": [text]}).json()["results"]
    assert [(g.entity_group, g.start, g.end) for g in groups] == [
        (span["label"], span["start"], span["end"]) for span in row["spans"]
    ]
    assert all(text[group.start : group.end] == group.word for group in groups)
    left = http.post("/hf/names", json={"inputs": [text], "parameters": {"ignore_labels": ["PER"]}})
    assert {group["entity_group"] for group in left.json()[0]} <= {"LOC"}
    refused = http.post("/hf/names", json=body | {"parameters": {"stride": 2}})
    assert "'stride'" in refused.json()["error"]
