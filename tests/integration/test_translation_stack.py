"""A translation adapter that is shared by pairs: it is imported, lies under a pair's adapter in
training and in service, and writes the directions that no pair's adapter does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import peft
import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from rich.console import Console
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.errors import AdapterError, InvalidOption, RecipeError
from polygraft.export.calibrate import calibration_texts
from polygraft.importing.adapter import import_adapter
from polygraft.importing.adapter_kinds import Wanted
from polygraft.offline import load
from polygraft.rollout.dispatch import Observed
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.job import TranslationJob, prepare
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.tasks.translation.serving import Translated
from polygraft.training.pipeline import train

TEXTS = ["hello mum", "see you soon", "the train is late", "win a prize", "call now"]
DIRECTIONS = [("en", "yo"), ("yo", "en"), ("en", "haw"), ("haw", "en")]


def recipe(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{text}\tdára {text}" for text in TEXTS]
    (folder / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("win cash soon\tdára cash\nthe prize\tdára prize\n")
    files = {"source": "en", "target": "yo"}
    content = {
        "name": folder.name,
        "task": "translation",
        "languages": ["en", "yo"],
        "data": {
            "train": [files | {"file": "train.tsv"}],
            "dev": [files | {"file": "dev.tsv"}],
        },
        "stack": ["mt"],
        "lora": {"r": 8, "alpha": 16},
        "training": {
            "steps": 30,
            "tokens": 400,
            "learning_rate": 0.01,
            "evaluations": 1,
            "bf16": False,
        },
    }
    file = folder / LAYOUT.recipe
    file.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return file


def ready(file: Path, backbone: Path) -> TranslationJob:
    loaded = load_recipe(file)
    assert isinstance(loaded, TranslationRecipe)
    return prepare(loaded, file, backbone)


@pytest.fixture(scope="module")
def shelf(
    writing_backbone: Path, translators: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`mt`, of rank 20; `en-yo`, trained on top of it; two classifiers, a translator without a
    stack. `mt` lies on the decoder too, as this one, which is random, hardly reads the encoder."""
    root = tmp_path_factory.mktemp("shelf")
    for name in ("spam", "topic", "haw-en"):
        shutil.copytree(translators / name, root / name)
    config = peft.LoraConfig(r=20, lora_alpha=20, target_modules=["query", "value", "dense"])
    adapted = peft.get_peft_model(load_seq2seq(writing_backbone), config)
    torch.manual_seed(5)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.15)
    adapted.save_pretrained(root / "pretrained-mt")
    wanted = Wanted(
        languages=["en", "yo", "haw"],
        directions=DIRECTIONS,
        texts=[(text, "en") for text in (*TEXTS, *calibration_texts()) if len(text) < 80],
        licence="CC BY 4.0",
    )
    import_adapter(
        str(root / "pretrained-mt"), root / "mt", writing_backbone, wanted, Console(quiet=True)
    )
    shutil.rmtree(root / "pretrained-mt")
    file = recipe(root / "en-yo")
    train(ready(file, writing_backbone), file.parent)
    return root


def on_mt(backbone: Path, shelf: Path, *, pair: bool) -> object:
    """PyTorch's model with the shared adapter, and the pair's on top of that."""
    model = peft.PeftModel.from_pretrained(load_seq2seq(backbone), shelf / "mt").merge_and_unload()
    if pair:
        model = peft.PeftModel.from_pretrained(model, shelf / "en-yo")
    return model.eval()


def written(
    model: object,
    backbone: Path,
    direction: tuple[str, str] = ("en", "yo"),
    texts: Sequence[str] = TEXTS,
) -> list[str]:
    tokenizers = load_encoder(backbone), load_target_tokenizer(backbone)
    return translate(model, *tokenizers, texts, direction)  # type: ignore[arg-type]


def test_the_pair_is_trained_and_scored_on_the_shared_adapter(
    shelf: Path, writing_backbone: Path
) -> None:
    manifest = load_manifest(shelf / "en-yo", TranslationManifest)
    assert manifest.stack == [load_manifest(shelf / "mt").named]
    figures = manifest.metrics["directions"]["dev"]["en-yo"]
    assert set(figures["rungs"]) == {"copy", "bare", "adapter"}
    models = [on_mt(writing_backbone, shelf, pair=pair) for pair in (False, True)]
    for golden in manifest.golden_texts:
        direction = manifest.direction_of(golden)
        assert direction
        bare, ours = (written(m, writing_backbone, direction, [golden.text])[0] for m in models)
        assert (golden.bare, golden.written) == (bare, ours)
        assert (
            bare
            != written(load_seq2seq(writing_backbone), writing_backbone, direction, [golden.text])[
                0
            ]
        )
    card = (shelf / "en-yo" / LAYOUT.card).read_text(encoding="utf-8")
    assert f"on top of {manifest.stack[0]}" in card


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_rows_of_a_stack_are_answered_as_alone_whatever_lies_beside_them(
    shelf: Path, writing_backbone: Path, precision: str
) -> None:
    engine = Engine(writing_backbone, precision=precision, slots=16)
    load(engine, shelf / "en-yo")
    for name in ("spam", "topic"):
        engine.add(shelf / name)
    other = engine.adapters.place(load_adapter(shelf / "haw-en"), proved=True)  # not in int8
    engine.adapters.point(other.name, other.version)
    kinds = {
        "pair": [Row("en-yo", text, language="en", target="yo") for text in TEXTS],
        "shared": [Row("mt", text, language="en", target="yo") for text in TEXTS],
        "pair without": [
            Row("en-yo", text, language="en", target="yo", stack=()) for text in TEXTS
        ],
        "other": [Row("haw-en", text) for text in TEXTS],
        "spam": [Row("spam", text) for text in TEXTS],
        "topic": [Row("topic", text) for text in TEXTS],
    }
    alone = {kind: [engine.answer([row])[0] for row in rows] for kind, rows in kinds.items()}
    texts = [
        [one.text for one in alone[kind] if isinstance(one, Translated)]
        for kind in ("pair", "shared", "pair without", "other")
    ]
    assert all(len(one) == len(TEXTS) for one in texts), alone
    assert len({tuple(one) for one in texts}) == 4, "adapters do not differ: the test is void"
    mixed = engine.answer([row for place in zip(*kinds.values(), strict=True) for row in place])
    expected = [one for place in zip(*alone.values(), strict=True) for one in place]
    for got, wanted in zip(mixed, expected, strict=True):
        if isinstance(wanted, Translated):
            assert isinstance(got, Translated)
            assert (got.text, got.stack) == (wanted.text, wanted.stack)
        else:
            assert got.label == wanted.label  # type: ignore[union-attr]
            assert got.score == pytest.approx(wanted.score, abs=2e-3)  # type: ignore[union-attr]
    if precision == "fp32":
        assert texts[0] == written(on_mt(writing_backbone, shelf, pair=True), writing_backbone)
        assert texts[1] == written(on_mt(writing_backbone, shelf, pair=False), writing_backbone)
    engine.close()


def test_classifiers_never_see_it(shelf: Path, writing_backbone: Path) -> None:
    engine = Engine(writing_backbone, precision="fp32", slots=16)
    engine.add(shelf / "spam")
    before = engine.answer([Row("spam", text) for text in TEXTS])
    load(engine, shelf / "en-yo")
    assert engine.answer([Row("spam", text) for text in TEXTS]) == before
    engine.close()


@pytest.fixture(scope="module")
def client(shelf: Path, writing_backbone: Path) -> Iterator[TestClient]:
    engine = Engine(writing_backbone, precision="fp32", slots=16)
    host = Host(engine, Library(shelf), Settings(allow_experimental=True))
    assert not host.refused
    with TestClient(create_app(lambda: host)) as client:
        yield client
    host.close()


def test_a_direction_goes_to_its_pair_else_to_the_shared_adapter(
    client: TestClient, shelf: Path
) -> None:
    shared = load_manifest(shelf / "mt").named
    body = {"texts": TEXTS[:1], "source": "en"}
    of_pair = client.post("/v1/translate", json=body | {"target": "yo"}).json()["results"][0]
    assert (of_pair["adapter"], of_pair["stack"]) == ("en-yo", [shared])
    fallback = client.post("/v1/translate", json=body | {"target": "haw"}).json()["results"][0]
    assert fallback["adapter"] == "mt"
    assert "stack" not in fallback
    named = client.post("/v1/translate", json=body | {"target": "yo", "adapter": "mt"}).json()
    assert named["results"][0]["adapter"] == "mt"
    through = client.post(
        "/v1/translate", json={"text": "aloha", "source": "haw", "target": "yo"}
    ).json()["results"][0]
    assert [step.split("@")[0] for step in through["steps"]] == ["haw-en", "en-yo"]
    free = client.post("/translate", json={"q": "call now", "source": "en", "target": "haw"})
    assert free.status_code == 200
    languages = {one["code"]: one["targets"] for one in client.get("/languages").json()}
    assert languages["en"] == ["haw", "yo"]
    rows = [
        {"adapter": "en-yo", "text": "call now", "language": "en", "target": "yo"},
        {"adapter": "spam", "text": "call now"},
        {"stack": ["mt", "en-yo"], "text": "call now", "language": "en", "target": "yo"},
    ]
    batch = client.post("/v1/batch", json={"rows": rows}).json()["results"]
    assert batch[0]["translation"] == batch[2]["translation"]
    assert batch[1]["label"]


def test_a_pair_is_verified_on_what_it_was_trained_on(
    shelf: Path, writing_backbone: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    """Loaded with it, whichever comes first by name; and refused without it, with what to do."""
    engine = Engine(writing_backbone, precision="fp32", slots=16)
    with pytest.raises(AdapterError, match=r"was trained on top of mt@\w+, and it is not served"):
        engine.add(shelf / "en-yo")
    library = tmp_path / "library"
    shutil.copytree(shelf / "en-yo", library / "en-yo")
    host = Host(engine, Library(library))
    assert "not in the library; add that first" in str(host.refused["en-yo"])
    host.close()
    edit_manifest(library / "en-yo", stack=["mt"])
    with pytest.raises(AdapterError, match="is not an adapter with its version"):
        load_manifest(library / "en-yo")


def test_stacks_that_make_no_sense_are_refused(
    shelf: Path, writing_backbone: Path, tmp_path: Path
) -> None:
    for name in ("mt", "en-yo", "spam", "haw-en"):
        shutil.copytree(shelf / name, tmp_path / name)

    def problem(**changes: object) -> str:
        with pytest.raises(RecipeError) as raised:
            ready(recipe(tmp_path / "child", **changes), writing_backbone)
        return str(raised.value)

    assert "'spam' does not translate" in problem(stack=["spam"])
    assert "lies on mt@" in problem(stack=["en-yo"])
    lora: dict[str, object] = {"parent": "en-yo", "lora": {}}
    assert "a child keeps its parent's" in problem(stack=[], **lora)
    child = ready(recipe(tmp_path / "child", **lora), writing_backbone)
    assert [folder.name for folder in child.stack] == ["mt"]
    alone = ready(recipe(tmp_path / "alone", stack=[]), writing_backbone)
    stacked = ready(recipe(tmp_path / "alone"), writing_backbone)
    assert alone.key != stacked.key


def test_versions_that_others_lie_on_are_kept(shelf: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    for name in ("mt", "en-yo"):
        version, data = load_manifest(shelf / name).version, shutil.ignore_patterns("*.tsv")
        shutil.copytree(shelf / name, library.root / name / version, ignore=data)
    assert [named.split("@")[0] for named in library.collect(0, 1e12)] == ["en-yo"]
    assert [named.split("@")[0] for named in library.collect(0, 1e12)] == ["mt"]


def test_a_shadow_has_its_stack_under_it(shelf: Path, writing_backbone: Path) -> None:
    """Also when that left the memory meanwhile."""
    host = Host(Engine(writing_backbone, precision="fp32", slots=16), Library(shelf))
    version = load_manifest(shelf / "en-yo").version
    row, told = Row("en-yo", "call now", language="en", target="yo"), list[object]()
    host.rollout.shadow._tell = lambda observed, answer, version: told.append(answer)
    assert host.engine.adapters.evict("mt", load_manifest(shelf / "mt").version)
    host.rollout.shadow._compute(Observed(row, "champion", version, InvalidOption(""), 0), version)
    host.close()
    (answer,) = told
    assert isinstance(answer, Translated)
    assert [named.split("@")[0] for named in answer.stack] == ["mt"]


def test_files_are_translated_without_a_server(
    shelf: Path, writing_backbone: Path, tmp_path: Path
) -> None:
    """By the pair on its own stack, by the shared adapter alone, and by the pair on another, where
    its own is still needed to verify it."""
    (tmp_path / "in.txt").write_text("call now\n", encoding="utf-8")
    written = list[str]()
    for who in ([shelf / "en-yo"], [shelf / "mt"], [shelf / "en-yo", "--stack", shelf / "spam"]):
        files = ["--input", tmp_path / "in.txt", "--output", tmp_path / "out.jsonl"]
        languages = ["--source", "en", "--target", "yo", "--backbone", writing_backbone]
        arguments = ["predict", *who, *files, *languages]
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        written.append(json.loads((tmp_path / "out.jsonl").read_text())["translation"])
    assert len(set(written)) == 3
