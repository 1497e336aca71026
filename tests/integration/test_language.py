"""Language adapters: trained from unlabelled text, put under a task adapter, exchanged row by row
while served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder, pad
from polygraft.cli import app
from polygraft.errors import DataError, InvalidRow, PolygraftError, RecipeError, UnknownAdapter
from polygraft.reporting.page import gather, page
from polygraft.reporting.results import results_table
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, WeightedAdapter
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.classification.job import prepare as prepare_task
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.serving import Classified, softmax
from polygraft.tasks.language.job import prepare
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import train
from polygraft.training.pipeline import train as train_task
from polygraft.training.vectors import pool

WORDS = [
    "win",
    "free",
    "cash",
    "prize",
    "call",
    "now",
    "text",
    "hello",
    "mum",
    "dinner",
    "train",
    "late",
    "see",
    "you",
    "soon",
]
TEXT = "win a free cash prize now"


def language(folder: Path, **changes: object) -> Path:
    """A recipe with text in a fixed order of words, so that a masked one can be guessed."""
    folder.mkdir(parents=True)
    lines = [" ".join((WORDS * 2)[i : i + 3 + j]) for i in range(len(WORDS)) for j in range(4)]
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    content = {
        "name": folder.name,
        "task": "language",
        "languages": ["yo"],
        "data": {"train": [{"file": "text.txt"}], "dev_rows": 10},
        "lora": {"r": 12, "alpha": 12, "dropout": 0.05},
        "training": {
            "steps": 40,
            "tokens": 256,
            "learning_rate": 0.02,
            "evaluations": 2,
            "bf16": False,
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return folder / "recipe.yaml"


def made(file: Path, backbone: Path) -> Path:
    recipe = load_recipe(file)
    assert isinstance(recipe, LanguageRecipe)
    train(prepare(recipe, file, backbone), file.parent)
    return file.parent


@pytest.fixture(scope="module")
def shelf(writing_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two language adapters, and a task adapter trained on top of the first."""
    root = tmp_path_factory.mktemp("shelf")
    made(language(root / "lang-yo"), writing_backbone)
    other = {
        "languages": ["haw"],
        "lora": {"r": 32, "alpha": 32, "dropout": 0.05},
        "training": {"objective": "denoise", "steps": 30, "learning_rate": 0.03, "bf16": False},
    }
    made(language(root / "lang-haw", **other), writing_backbone)
    folder = root / "spam-yo"
    folder.mkdir()
    spam, ham = ["win a free", "claim cash", "free prize"], ["hello mum", "see you", "dinner soon"]
    for split, ends in (("train", ("now", "call", "text", "tonight")), ("dev", ("late", "train"))):
        rows = [
            {"text": f"{t} {e}", "label": y}
            for y, some in (("spam", spam), ("ham", ham))
            for t in some
            for e in ends
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = {
        "name": "spam-yo",
        "languages": ["en"],
        "stack": ["lang-yo"],
        "data": {"train": "train.jsonl", "dev": "dev.jsonl"},
        "lora": {"r": 4},
        "training": {"epochs": 6, "batch_size": 8, "learning_rate": 0.02, "bf16": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = load_recipe(folder / "recipe.yaml")
    assert isinstance(recipe, ClassificationRecipe)
    train_task(prepare_task(recipe, folder / "recipe.yaml", writing_backbone), folder)
    return root


@pytest.fixture(scope="module")
def engine(writing_backbone: Path, shelf: Path) -> Iterator[Engine]:
    engine = Engine(writing_backbone, precision="fp32", slots=8)
    for name in ("lang-yo", "lang-haw", "spam-yo"):
        engine.add(shelf / name)
    yield engine
    engine.close()


@torch.no_grad()
def by_peft(
    backbone: Path, shelf: Path, language: str | None, weight: float = 1.0
) -> dict[str, float]:
    """Slow reference: peft's own concatenation of the two, and the head."""
    model = peft.PeftModel.from_pretrained(
        load_backbone(backbone), shelf / "spam-yo", adapter_name="task"
    )
    if language:
        model.load_adapter(shelf / language, adapter_name="language")
        model.add_weighted_adapter(
            ["language", "task"], [weight, 1.0], "both", combination_type="cat"
        )
        model.set_adapter("both")
    batch = {
        k: torch.from_numpy(v) for k, v in pad(load_encoder(backbone).encode([TEXT]), 0).items()
    }
    adapter = load_adapter(shelf / "spam-yo")
    assert adapter.head
    pooled = pool(model.eval()(**batch).last_hidden_state, batch["attention_mask"]).numpy()
    head = adapter.head.own
    logits = head.join.joined(head.logits(pooled)[0], head.lexical.logits(TEXT))
    return dict(zip(adapter.manifest.labels, softmax(logits).tolist(), strict=True))


def test_it_reads_better_than_the_bare_backbone_and_is_peft(
    shelf: Path, writing_backbone: Path
) -> None:
    for name, objective in (("lang-yo", "masked"), ("lang-haw", "denoise")):
        manifest = load_manifest(shelf / name)
        assert manifest.metrics["objective"] == objective
        assert len(manifest.golden_vectors) == 4
        assert peft.PeftModel.from_pretrained(
            load_backbone(writing_backbone), shelf / name
        ).peft_config["default"].r in (
            12,
            32,
        )
    denoising = load_manifest(shelf / "lang-haw").metrics["denoising"]
    assert denoising["adapter"] < denoising["bare"]
    assert load_manifest(shelf / "spam-yo").stack == [load_manifest(shelf / "lang-yo").named]


def test_no_file_names_a_place_on_this_machine(
    shelf: Path, machine_paths: Callable[[bytes], set[str]]
) -> None:
    """Issue 15: `adapter_config.json` did."""
    files = [
        folder / name
        for folder in shelf.iterdir()
        for name in LAYOUT.names()
        if (folder / name).is_file()
    ]
    assert len(files) == 5 + 5 + 7
    assert {str(file): found for file in files if (found := machine_paths(file.read_bytes()))} == {}


@pytest.mark.parametrize(
    ("stack", "language", "weight"),
    [
        (None, "lang-yo", 1.0),
        ((WeightedAdapter("lang-haw"),), "lang-haw", 1.0),
        ((WeightedAdapter("lang-haw", 0.5),), "lang-haw", 0.5),
        ((), None, 1.0),
    ],
)
def test_a_row_is_answered_on_top_of_the_language_it_asks_for(
    engine: Engine,
    writing_backbone: Path,
    shelf: Path,
    stack: tuple[WeightedAdapter, ...] | None,
    language: str | None,
    weight: float,
) -> None:
    """By itself and in a batch whose other rows have other stacks."""
    wanted = by_peft(writing_backbone, shelf, language, weight)
    row = Row("spam-yo", TEXT, stack=stack)
    for rows in (
        [row],
        [
            Row("spam-yo", TEXT, stack=()),
            row,
            Row("spam-yo", "hello mum", stack=(WeightedAdapter("lang-haw", -1.0),)),
        ],
    ):
        answer = engine.answer(rows)[0 if len(rows) == 1 else 1]
        assert isinstance(answer, Classified)
        np.testing.assert_allclose(
            [s.score for s in answer.labels], [wanted[s.label] for s in answer.labels], atol=1e-4
        )
        assert [named.split("@")[0] for named in answer.stack] == ([language] if language else [])


def test_the_languages_answer_differently(writing_backbone: Path, shelf: Path) -> None:
    """Or the tests above would prove nothing."""
    scores = [
        by_peft(writing_backbone, shelf, language)["spam"]
        for language in (None, "lang-yo", "lang-haw")
    ]
    assert min(abs(a - b) for a, b in zip(scores, [*scores[1:], scores[0]], strict=True)) > 1e-3


@pytest.mark.parametrize(
    ("row", "kind", "says"),
    [
        (Row("lang-yo", TEXT), InvalidRow, "knows a language and no task"),
        (Row("spam-yo", TEXT, stack=(WeightedAdapter("lang-ig"),)), UnknownAdapter, "lang-ig"),
        (
            Row("spam-yo", TEXT, stack=(WeightedAdapter("lang-haw"),), language="sw"),
            InvalidRow,
            "made for en, haw",
        ),
    ],
)
def test_stacks_that_make_no_sense(
    engine: Engine, row: Row, kind: type[PolygraftError], says: str
) -> None:
    (answer,) = engine.answer([row])
    assert isinstance(answer, kind)
    assert says in str(answer)


def test_without_the_language_it_was_trained_on_it_does_not_answer(
    writing_backbone: Path, shelf: Path
) -> None:
    engine = Engine(writing_backbone, precision="fp32", slots=8)
    engine.add(shelf / "spam-yo")
    (refused,), (said,) = (
        engine.answer([Row("spam-yo", TEXT)]),
        engine.answer([Row("spam-yo", TEXT, stack=())]),
    )
    assert "it is not served" in str(refused)
    assert isinstance(said, Classified)
    engine.close()


def test_slots_of_removed_languages_wait_for_no_one_and_come_back(
    writing_backbone: Path, shelf: Path
) -> None:
    engine = Engine(writing_backbone, precision="fp32", slots=8)
    before = engine.bank.free
    for name in ("lang-yo", "lang-haw", "spam-yo"):
        engine.add(shelf / name)
    assert before - engine.bank.free == 2 + 4 + 1, "ranks 12, 32 and 4 in slots of rank 8"
    engine.answer([Row("spam-yo", TEXT)] * 3)
    for name in ("lang-yo", "lang-haw", "spam-yo"):
        engine.remove(name)
    assert engine.bank.free == before
    engine.close()


def test_over_http(writing_backbone: Path, shelf: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(shelf, tmp_path / "library"))
    host = Host(Engine(writing_backbone, precision="fp32", slots=8), Library(root))
    client = TestClient(create_app(lambda: host), client=("127.0.0.1", 1))
    names = ["lang-haw", "spam-yo"]
    plain = client.post("/v1/classify", json={"adapter": "spam-yo", "text": TEXT}).json()[
        "results"
    ][0]
    stacked = client.post("/v1/classify", json={"stack": names, "texts": [TEXT]}).json()["results"][
        0
    ]
    assert [plain["stack"], stacked["stack"]] == [
        [load_manifest(shelf / n).named] for n in ("lang-yo", "lang-haw")
    ]
    rows = [
        {"stack": [{"adapter": "lang-haw", "weight": 1}, "spam-yo"], "text": TEXT},
        {"adapter": "spam-yo", "text": TEXT},
        {"stack": names, "adapter": "spam-yo", "text": TEXT},
        {"stack": [], "text": TEXT},
        {"stack": [{"adapter": "lang-haw", "weight": 9}, "spam-yo"], "text": TEXT},
    ]
    answers = client.post("/v1/batch", json={"rows": rows}).json()["results"]
    assert answers[0]["score"] == pytest.approx(stacked["score"], abs=1e-4)
    assert answers[1]["score"] == pytest.approx(plain["score"], abs=1e-4)
    for answer, says in zip(
        answers[2:], ("either adapter or stack", "at least 1 item", "within ±4"), strict=True
    ):
        assert says in answer["error"]["message"]
    listed = {a["name"]: a for a in client.get("/v1/adapters").json()["adapters"]}
    assert listed["lang-haw"]["task"] == "language"
    assert listed["spam-yo"]["stack"] == [load_manifest(shelf / "lang-yo").named]
    host.engine.close()


def test_recipes_that_cannot_be_trained(
    writing_backbone: Path, tmp_path: Path, shelf: Path
) -> None:
    few = language(tmp_path / "few", data={"train": [{"file": "text.txt"}], "dev_rows": 50})
    lost = language(tmp_path / "lost", data={"train": [{"file": "nowhere.txt"}]})
    mute = language(tmp_path / "mute", languages=["zu"], training={"objective": "denoise"})
    for file, error, says in (
        (few, DataError, "too few"),
        (lost, DataError, "cannot be read"),
        (mute, RecipeError, "use masked"),
    ):
        recipe = load_recipe(file)
        assert isinstance(recipe, LanguageRecipe)
        with pytest.raises(error, match=says):
            prepare(recipe, file, writing_backbone)
    task = load_recipe(shelf / "spam-yo" / LAYOUT.recipe)
    assert isinstance(task, ClassificationRecipe)
    with pytest.raises(RecipeError, match="not a language adapter"):
        prepare_task(
            task.model_copy(update={"stack": ["spam-yo"]}),
            shelf / "spam-yo" / LAYOUT.recipe,
            writing_backbone,
        )


def test_a_run_from_another_version_of_its_parent_has_another_key(
    writing_backbone: Path, shelf: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    """Issue 15, defect 10: checkpoints that started from an older parent were taken up again."""
    parent = Path(shutil.copytree(shelf / "lang-yo", tmp_path / "lang-yo"))
    file = language(tmp_path / "child", parent="lang-yo")
    recipe = load_recipe(file)
    assert isinstance(recipe, LanguageRecipe)
    keys = [prepare(recipe, file, writing_backbone).key for _ in range(2)]
    newer = {name: value + 1 for name, value in load_file(parent / LAYOUT.weights).items()}
    save_file(newer, parent / LAYOUT.weights)
    edit_manifest(parent)
    keys.append(prepare(recipe, file, writing_backbone).key)
    assert keys[0] == keys[1] != keys[2]


def test_the_results_table_lists_them(shelf: Path) -> None:
    table = results_table(Library(shelf))
    assert "[lang-yo](lang-yo/README.md) | yo" in table
    assert "[spam-yo](spam-yo/README.md) | en" in table


def test_a_page_about_all_three(writing_backbone: Path, shelf: Path) -> None:
    engine = Engine(writing_backbone)
    found = gather(engine, [shelf / name for name in ("lang-yo", "lang-haw", "spam-yo")])
    engine.close()
    shown = page(found)
    assert "Objective denoise" in shown
    assert "Confusion" in shown, "spam-yo was answered on top of lang-yo"


def test_predict_stacks_too(writing_backbone: Path, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    scores = []
    for stack in ([], ["--stack", str(shelf / "lang-haw")]):
        files = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")]
        done = CliRunner().invoke(
            app,
            [
                "predict",
                str(shelf / "spam-yo"),
                *files,
                *stack,
                "--backbone",
                str(writing_backbone),
            ],
        )
        assert done.exit_code == 0, done.output
        scores.append(json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["score"])
    assert scores[0] != scores[1]


def test_zero_shot_is_scored_with_the_language_exchanged(
    writing_backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(shelf, tmp_path / "shelf"))
    folder = Path(
        shutil.copytree(
            root / "spam-yo",
            root / "spam-zero",
            ignore=shutil.ignore_patterns("*.safetensors", "*.md"),
        )
    )
    content = yaml.safe_load((folder / LAYOUT.recipe).read_text())
    content |= {"name": "spam-zero", "strategy": "zero-shot", "exchange": ["lang-haw"]}
    content["data"]["test"] = "dev.jsonl"
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = load_recipe(folder / LAYOUT.recipe)
    assert isinstance(recipe, ClassificationRecipe)
    metrics = train_task(
        prepare_task(recipe, folder / LAYOUT.recipe, writing_backbone), folder, full_ladder=True
    ).metrics
    assert "target_only" not in metrics["ladder"]
    assert metrics["gain_from_exchange"]["verdict"] in ("helps", "harms", "no evidence")
    engine = Engine(writing_backbone, precision="fp32")
    for name in ("lang-haw", "spam-zero"):
        engine.add(root / name)
    rows = [json.loads(line) for line in (folder / "dev.jsonl").read_text().split("\n")]
    answers = engine.answer(
        [Row("spam-zero", row["text"], stack=(WeightedAdapter("lang-haw"),)) for row in rows]
    )
    engine.close()
    said = np.array([a.label for a in answers if isinstance(a, Classified)])
    score = macro_f1(np.array([row["label"] for row in rows]), said)
    assert metrics["ladder"]["exchanged"]["macro_f1"]["value"] == pytest.approx(score, abs=0.01)
