"""Each strategy of a recipe, trained on the tiny backbone and served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import load_adapter, load_manifest
from polygraft.cli import app
from polygraft.data.splits import Split
from polygraft.errors import DataError, InvalidRow, RecipeError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.classification.source_weights import source_weights
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import train

SPAM = [
    f"{a} {b} {c}"
    for a in ("win", "claim")
    for b in ("free", "cash", "prize")
    for c in ("now", "call", "text")
]
HAM = [
    f"{a} {b} {c}"
    for a in ("hello", "see")
    for b in ("mum", "dinner", "you")
    for c in ("soon", "tonight", "late")
]


def recipe(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    for split, part in (("train", slice(0, 12)), ("dev", slice(12, 15)), ("test", slice(15, 18))):
        rows = [
            {"id": t, "text": t, "label": y}
            for y, some in (("spam", SPAM), ("ham", HAM))
            for t in some[part]
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = {
        "name": folder.name,
        "languages": ["en"],
        "lora": {"r": 4},
        "data": {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
        "training": {"epochs": 6, "batch_size": 8, "learning_rate": 0.02, "bf16": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return folder / "recipe.yaml"


def job_of(file: Path, backbone: Path) -> ClassificationJob:
    loaded = load_recipe(file)
    assert isinstance(loaded, ClassificationRecipe)
    return prepare(loaded, file, backbone)


def trained(file: Path, backbone: Path, *, full_ladder: bool = False) -> Path:
    train(job_of(file, backbone), file.parent, full_ladder=full_ladder)
    return file.parent


@pytest.fixture
def engine(backbone: Path) -> Iterator[Engine]:
    engine = Engine(backbone, precision="int8", slots=4)
    yield engine
    engine.close()


def label_of(engine: Engine, row: Row) -> str:
    (answer,) = engine.answer([row])
    assert isinstance(answer, Classified), answer
    return answer.label


def test_a_head_on_the_frozen_backbone_is_served_like_any_adapter(
    backbone: Path, engine: Engine, tmp_path: Path
) -> None:
    folder = trained(recipe(tmp_path / "quick", strategy="head"), backbone)
    adapter, ladder = load_adapter(folder), load_manifest(folder).metrics["ladder"]
    assert all(not b.any() for _, b in adapter.lora.values())
    assert ladder["adapter"]["macro_f1"]["value"] >= ladder["head"]["macro_f1"]["value"] - 20
    engine.add(folder)
    assert label_of(engine, Row("quick", "win cash now")) == "spam"


def test_the_heads_golden_is_not_met_by_another_backbones_vectors(
    backbone: Path, tmp_path: Path
) -> None:
    """A golden whose `bare` were the adapter's own answer could not fail, or would always."""
    manifest = load_manifest(trained(recipe(tmp_path / "quick", strategy="head"), backbone))
    gap = np.linalg.norm([np.subtract(g.logits, g.bare) for g in manifest.golden])
    assert gap > 0.1


def test_only_some_layers_are_adapted(backbone: Path, tmp_path: Path) -> None:
    lora = {"r": 4, "layers": [1]}
    folder = trained(recipe(tmp_path / "upper", lora=lora, strategy="lora"), backbone)
    assert {site.split(".")[2] for site in load_adapter(folder).lora} == {"1"}
    with pytest.raises(RecipeError, match="no layer 7"):
        job_of(recipe(tmp_path / "none", lora={"layers": [1, 7]}), backbone)


@pytest.mark.parametrize("by", ["even", "domain", "boosting"])
def test_source_rows_count_as_much_as_the_recipe_says(
    backbone: Path, tmp_path: Path, by: str
) -> None:
    """And the gain is measured against the target's rows alone."""
    recipe(tmp_path / "source", data={"train": "train.jsonl", "dev": "dev.jsonl"})
    data = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl", "shots": 2}
    source = {"adapter": "source", "weight": 0.25, "by": by}
    file = recipe(tmp_path / "mixed", strategy="mixed", source=source, data=data)
    job = job_of(file, backbone)
    weights = source_weights(job, job.train_rows(0))
    assert len(weights) == 24
    assert weights.mean() == pytest.approx(0.25, abs=0.05)
    if by == "even":
        manifest = load_manifest(trained(file, backbone, full_ladder=True))
        assert [one["rows"] for one in manifest.data] == [24, 6, 6, 24], (
            "the source's rows are named too"
        )
        metrics = manifest.metrics
        assert {"target_only", "adapter", "tfidf"} <= set(metrics["ladder"])
        assert metrics["gain_from_transfer"]["over"] in (
            *("tfidf", "tuned_tfidf", "lexical", "head", "target_only"),
        )
        assert (
            "Weight of a source row, where a target row's is 1, by seed: 0.25."
            in (file.parent / "README.md").read_text()
        )


def test_a_head_learns_from_source_rows_as_much_as_they_weigh(
    backbone: Path, tmp_path: Path
) -> None:
    recipe(tmp_path / "source")
    data = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl", "shots": 2}
    heads = {}
    for name, weight in (("none", None), ("light", 1e-6), ("heavy", 1.0)):
        source = {"source": {"adapter": "source", "weight": weight, "by": "even"}} if weight else {}
        job = job_of(recipe(tmp_path / name, strategy="head", data=data, **source), backbone)
        assert job.transfers == bool(source)
        heads[name] = fit(job, 0, tmp_path).classifier.head.weight.detach().numpy()
    far = np.abs(heads["heavy"] - heads["none"]).max()
    assert np.abs(heads["light"] - heads["none"]).max() < 0.01 * far


def test_source_rows_that_are_translations_of_held_out_rows_are_refused(
    backbone: Path, tmp_path: Path
) -> None:
    leaky = {"train": "test.jsonl", "dev": "dev.jsonl", "id": "id"}
    recipe(tmp_path / "source", data=leaky)
    data = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl", "id": "id"}
    file = recipe(tmp_path / "mixed", strategy="mixed", source={"adapter": "source"}, data=data)
    with pytest.raises(DataError, match="6 rows of source are translations"):
        job_of(file, backbone)
    recipe(tmp_path / "wider", data=leaky | {"train": ["train.jsonl", "test.jsonl"]})
    content = {"source": {"adapter": "wider"}, "data": data | {"on_leak": "drop"}}
    job = job_of(recipe(tmp_path / "dropped", strategy="mixed", **content), backbone)
    assert job.source_rows is not None
    assert len(job.source_rows) == 24, "the test rows are left out of the source's"


def test_one_adapter_answers_several_tasks(backbone: Path, engine: Engine, tmp_path: Path) -> None:
    other = recipe(tmp_path / "length")
    for split in ("train", "dev", "test"):
        texts = [
            json.loads(line)["text"]
            for line in (tmp_path / "length" / f"{split}.jsonl").read_text().split("\n")
        ]
        rows = [
            {"text": t, "label": ("early", "late", "never")[i % 3]} for i, t in enumerate(texts)
        ]
        (tmp_path / "length" / f"{split}.jsonl").write_text(
            "\n".join(map(json.dumps, rows)), encoding="utf-8"
        )
    assert other.is_file()
    folder = trained(recipe(tmp_path / "both", strategy="multi-task", tasks=["length"]), backbone)
    manifest = load_manifest(folder)
    assert manifest.heads == {"length": ["early", "late", "never"]}
    assert 0 <= manifest.metrics["heads"]["length"]["macro_f1"]["value"] <= 100
    engine.add(folder)
    assert (
        label_of(engine, Row("both", "win cash now"))
        == label_of(engine, Row("both", "win cash now", head="both"))
        == "spam"
    )
    assert label_of(engine, Row("both", "win cash now", head="length")) in (
        "early",
        "late",
        "never",
    )
    (wrong,) = engine.answer([Row("both", "win cash now", head="mood")])
    assert isinstance(wrong, InvalidRow)
    assert "it has both, length" in str(wrong)


@pytest.mark.parametrize(
    "user",
    [
        {"strategy": "mixed", "source": {"adapter": "other"}},
        {"strategy": "multi-task", "tasks": ["other"]},
    ],
)
def test_a_run_on_other_source_or_task_rows_has_another_key(
    backbone: Path, tmp_path: Path, user: dict[str, object]
) -> None:
    """Issue 15, defect 10: checkpoints were taken up again though the rows of `source` or `tasks`
    had changed."""
    recipe(tmp_path / "other")
    file = recipe(tmp_path / "user", **user)
    keys = [job_of(file, backbone).key, job_of(file, backbone).key]
    with (tmp_path / "other" / "train.jsonl").open("a", encoding="utf-8") as rows:
        rows.write("\n" + json.dumps({"id": "new", "text": "hello cash", "label": "ham"}))
    keys.append(job_of(file, backbone).key)
    assert keys[0] == keys[1] != keys[2]


def test_a_run_that_keeps_leaked_rows_has_another_key_than_one_that_drops_them(
    backbone: Path, tmp_path: Path
) -> None:
    """Issue 15, defect 10: `--allow-leak` changes the training rows, and no file."""
    data = {"train": ["train.jsonl", "dev.jsonl"], "dev": "dev.jsonl", "on_leak": "drop"}
    file = recipe(tmp_path / "leaky", data=data)
    loaded = load_recipe(file)
    assert isinstance(loaded, ClassificationRecipe)
    dropped, kept = (
        prepare(loaded, file, backbone, allow_leak=reason) for reason in (None, "it may")
    )
    assert len(dropped.splits.train) < len(kept.splits.train)
    assert dropped.key != kept.key


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strategy": "mixed"}, "needs source"),
        ({"strategy": "multi-task"}, "needs tasks"),
        ({"strategy": "parent"}, "needs parent"),
        ({"strategy": "head", "parent": "x"}, "leave parent out"),
        (
            {"source": {"adapter": "x"}},
            "only strategy head or mixed uses it, and none is given; write",
        ),
        (
            {"strategy": "zero-shot", "data": {"train": "train.jsonl", "dev": "dev.jsonl"}},
            "needs data.test",
        ),
    ],
)
def test_strategies_say_what_they_need(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        load_recipe(recipe(tmp_path / "x", **changes))


def test_few_shots_are_drawn_from_the_targets_rows(backbone: Path) -> None:
    rows = Split([str(i) for i in range(20)], ["a", "b"] * 10, [])
    assert [len(rows.few(shots, 0)) for shots in (1, 3, 50, None)] == [2, 6, 20, 20]


@pytest.fixture(scope="module")
def family(writing_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mother with a test set, and her child."""
    root = tmp_path_factory.mktemp("family")
    trained(recipe(root / "mother"), writing_backbone)
    trained(recipe(root / "child", parent="mother", languages=["yo"]), writing_backbone)
    return root


def test_what_a_child_forgets_of_its_parents_task_and_of_the_backbones_is_told(
    family: Path,
) -> None:
    mother, found = (
        load_manifest(family / "mother"),
        load_manifest(family / "child").metrics["forgetting"],
    )
    assert found["parent_task"]["parent"] == mother.named
    assert found["parent_task"]["before"] == mother.metrics["ladder"]["adapter"]["macro_f1"]
    assert 0 <= found["parent_task"]["after"]["value"] <= 100
    assert found["denoising"]["bare"] > 0
    assert found["denoising"]["bare"] != found["denoising"]["adapter"]
    card = (family / "child" / "README.md").read_text(encoding="utf-8")
    assert f"The parent's own task ({mother.named}, 6 rows, macro-F1)" in card
    assert "parent_task" not in mother.metrics["forgetting"]


def test_task_arithmetic_by_command(family: Path, writing_backbone: Path, tmp_path: Path) -> None:
    there = ["--plus", str(family / "child"), "--backbone", str(writing_backbone)]
    done = CliRunner().invoke(
        app, ["combine", str(family / "mother"), str(tmp_path / "both"), *there]
    )
    assert done.exit_code == 0, done.output
    assert load_manifest(tmp_path / "both").languages == ["yo"]
    refused = CliRunner().invoke(
        app, ["combine", str(tmp_path), str(tmp_path / "x"), "--backbone", str(writing_backbone)]
    )
    assert refused.exit_code == 1
    assert "Traceback" not in refused.output
