"""`polygraft train` end to end on the tiny backbone and the sample set's kind of data."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import HASHED, LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import BackboneFiles, fingerprint
from polygraft.architectures.loading import load_backbone
from polygraft.cli import app
from polygraft.errors import DataError, RecipeError
from polygraft.reporting.page import gather, page
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.recipe import load_recipe
from polygraft.training import loop
from polygraft.training.pipeline import train
from polygraft.training.rebuild import outdated

SPAM = [
    f"{a} {b} {c}"
    for a in ("win", "claim")
    for b in ("free cash", "free prize", "cash prize")
    for c in ("now", "call", "text")
]
HAM = [
    f"{a} {b} {c}"
    for a in ("hello", "see you")
    for b in ("mum", "dinner", "train")
    for c in ("soon", "tonight", "late")
]


def ready(file: Path, backbone: Path) -> ClassificationJob:
    adapter_recipe = load_recipe(file)
    assert isinstance(adapter_recipe, ClassificationRecipe)
    return prepare(adapter_recipe, file, backbone)


def recipe(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", slice(0, 12)), ("dev", slice(12, 15)), ("test", slice(15, 18))):
        rows = [(t, "spam") for t in SPAM[part]] + [(t, "ham") for t in HAM[part]]
        lines = [json.dumps({"text": t, "label": y}) for t, y in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    content = {
        "name": folder.name,
        "languages": ["en"],
        "positive": "spam",
        "data": {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
        "lora": {"r": 4},
        "training": {"epochs": 8, "batch_size": 8, "learning_rate": 0.02, "bf16": False},
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(content | changes))
    return file


@pytest.fixture(scope="module")
def parent(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = recipe(tmp_path_factory.mktemp("trained") / "parent")
    train(ready(file, backbone), file.parent)
    return file.parent


def test_the_result_is_learnt_served_and_loaded_by_peft(parent: Path, backbone: Path) -> None:
    adapter = load_adapter(parent)
    ladder = adapter.manifest.metrics["ladder"]
    assert set(ladder) == {
        *("majority", "tfidf", "tuned_tfidf", "head", "lexical", "neural", "hybrid_alone"),
        "adapter",
    }
    assert set(ladder["adapter"]) == {"macro_f1", "spam_f1"}
    lead = ladder["adapter"]["macro_f1"]["value"] - ladder["neural"]["macro_f1"]["value"]
    over_neural = adapter.manifest.metrics["over_neural"]["value"]
    assert over_neural == pytest.approx(lead, abs=0.02)
    assert ladder["adapter"]["macro_f1"]["value"] > ladder["majority"]["macro_f1"]["value"] + 20
    assert {f.name for f in parent.iterdir()} >= set(LAYOUT.names())
    assert not list(parent.glob(".*"))
    assert (
        peft.PeftModel.from_pretrained(load_backbone(backbone), parent).peft_config["default"].r
        == 4
    )
    engine = Engine(backbone, precision="int8")
    engine.add(parent)
    answers = engine.answer(
        [Row("parent", "win free cash call"), Row("parent", "hello mum see you late")]
    )
    assert [a.label for a in answers if isinstance(a, Classified)] == ["spam", "ham"]
    engine.close()


def test_what_is_published_names_the_backbone_and_no_place_on_this_machine(
    parent: Path, backbone: Path, machine_paths: Callable[[bytes], set[str]]
) -> None:
    """Issue 15: PEFT wrote the backbone's folder into `adapter_config.json`."""
    config = json.loads((parent / LAYOUT.peft_config).read_text())
    assert config["base_model_name_or_path"] == BackboneFiles(backbone).name == backbone.name
    assert {
        name: found
        for name in LAYOUT.names()
        if (found := machine_paths((parent / name).read_bytes()))
    } == {}


def test_the_card_shows_the_ladder_and_the_data(parent: Path) -> None:
    card = (parent / LAYOUT.card).read_text()
    assert card.startswith("---\nlibrary_name: peft")
    for part in ("TF-IDF + logistic regression", "| majority label |", "train.jsonl", "## Limits"):
        assert part in card


def test_a_child_starts_from_its_parent_and_says_so(parent: Path, backbone: Path) -> None:
    data = {
        "train": "train.jsonl",
        "dev": "dev.jsonl",
        "test": ["en.test.jsonl", "sw.test.jsonl"],
        "shots": 5,
    }
    file = recipe(
        parent.parent / "child",
        parent="parent",
        data=data,
        training={"epochs": 1, "bf16": True, "seeds": [0, 1]},
    )
    rows = (file.parent / "test.jsonl").read_text().splitlines()
    for name, some in (("en", rows[::2]), ("sw", rows[1::2])):
        (file.parent / f"{name}.test.jsonl").write_text("\n".join(some))
    manifest = train(ready(file, backbone), file.parent, full_ladder=True)
    assert manifest.parent == f"parent@{load_adapter(parent).version}"
    assert set(manifest.metrics["ladder"]) == {
        "majority",
        "tfidf",
        "tuned_tfidf",
        "head",
        "lexical",
        "neural",
        "hybrid_alone",
        "tfidf_zero_shot",
        "zero_shot",
        "target_only",
        "adapter",
    }
    gain = manifest.metrics["gain_from_transfer"]
    assert gain["verdict"] in ("helps", "harms", "no evidence")
    alone = {
        baseline: manifest.metrics["ladder"][baseline]["macro_f1"]["value"]
        for baseline in ("tfidf", "tuned_tfidf", "lexical", "head", "hybrid_alone", "target_only")
    }
    assert alone[gain["over"]] == max(alone.values()), (
        "the gain is over the best baseline without transfer"
    )
    assert set(manifest.metrics["seeds"]) == {"0", "1"}
    curve = manifest.metrics["curve"]
    assert (
        [p["shots"] for p in curve["adapter"]]
        == [p["shots"] for p in curve["tfidf"]]
        == [0, 10, 12]
    )
    assert (
        curve["adapter"][-1]["value"] == manifest.metrics["ladder"]["adapter"]["macro_f1"]["value"]
    )
    result = CliRunner().invoke(
        app,
        [
            "report",
            str(parent),
            str(file.parent),
            "--output",
            str(file.parent / "page.html"),
            "--backbone",
            str(backbone),
        ],
    )
    assert result.exit_code == 0, result.output
    mother, child = json.loads((file.parent / "page.json").read_text())
    assert (mother["name"], child["name"]) == ("parent", "child")
    assert sum(map(sum, child["confusion"])) == manifest.metrics["rows"] == 6
    assert 0 <= child["calibration"]["error"] <= 1
    assert set(child["against_tfidf"]) == {"fixed", "broke"}
    assert {name: part["rows"] for name, part in child["parts"].items()} == {"en": 3, "sw": 3}
    if gain["over"] != "tfidf":
        assert [len(child["changed"][kind]) for kind in ("fixed", "broke")] == [
            len(gain["fixed"]),
            len(gain["broke"]),
        ]
    html = (file.parent / "page.html").read_text()
    assert html.count("<svg") == 1 + 3 + 3 + 2, (
        "the grid; ladder, confusion, calibration of each; learning curve, languages"
    )
    assert "Gain from transfer over" in html
    (file.parent / "sw.test.jsonl").unlink()
    (one,) = gather_again = json.loads(
        json.dumps(gather(Engine(backbone, precision="int8"), [file.parent]))
    )
    assert "confusion" not in one
    assert "not on this machine" in page(gather_again)
    zero_shot = manifest.metrics["ladder"]["zero_shot"]["macro_f1"]["value"]
    assert zero_shot > manifest.metrics["ladder"]["majority"]["macro_f1"]["value"]


def test_all_trains_what_does_not_fit_the_backbone_parents_first(
    parent: Path,
    backbone: Path,
    tmp_path: Path,
    edit_manifest: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = recipe(
        tmp_path / "a-child", parent="parent", training={"epochs": 1, "bf16": False}
    ).parent
    shutil.copytree(parent, tmp_path / "parent")
    shutil.copytree(parent, tmp_path / "fits")
    for file in (LAYOUT.manifest, *HASHED):
        shutil.copy(parent / file, child / file)
    edit_manifest(tmp_path / "fits", name="fits")
    edit_manifest(tmp_path / "parent", backbone="0" * 16)
    edit_manifest(child, backbone="0" * 16, name="a-child")
    due = outdated(Library(tmp_path), fingerprint(backbone))
    assert [d.recipe.parent.name for d in due] == ["parent", "a-child"]
    monkeypatch.setenv("POLYGRAFT_LIBRARY", str(tmp_path))
    result = CliRunner().invoke(app, ["train", "--all", "--backbone", str(backbone)])
    assert result.exit_code == 0, result.output
    for name in ("parent", "a-child", "fits"):
        load_adapter(tmp_path / name, backbone=fingerprint(backbone))
    assert load_manifest(child).parent == f"parent@{load_manifest(tmp_path / 'parent').version}"
    assert not outdated(Library(tmp_path), fingerprint(backbone))


def test_what_takes_the_stacks_place_is_trained_before_the_adapter(
    parent: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    """Issue 16: `train --all` ordered by parent and stack alone, so an adapter whose `exchange`
    comes later in the alphabet was trained first and refused, for that one was of the old
    backbone."""
    for name, stack in (
        ("a-topics", {"stack": ["c-lang"], "exchange": ["b-lang"]}),
        ("b-lang", {}),
    ):
        folder = Path(shutil.copytree(parent, tmp_path / name))
        zero_shot = {"strategy": "zero-shot", **stack} if stack else {}
        written = recipe(tmp_path / "x" / name, **zero_shot)
        shutil.copy(written, folder / LAYOUT.recipe)
        edit_manifest(folder, name=name)
    due = outdated(Library(tmp_path), "0" * 16)
    assert [rebuild.recipe.parent.name for rebuild in due] == ["b-lang", "a-topics"]


def test_adapters_that_start_from_each_other_are_told(
    parent: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        shutil.copytree(parent, tmp_path / name)
        (tmp_path / name / LAYOUT.recipe).write_text(
            recipe(tmp_path / "x" / name, parent=other).read_text()
        )
        edit_manifest(tmp_path / name, name=name)
    with pytest.raises(RecipeError, match="one, two start from each other"):
        outdated(Library(tmp_path), "0" * 16)


def test_a_killed_run_goes_on_from_its_checkpoint(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recipe(tmp_path / "killed", training={"epochs": 4, "bf16": False, "patience": 4})

    class Killed(BaseException):
        pass

    class DiesInTheThirdEpoch(loop.RichProgress):
        def on_epoch_begin(
            self, args: object, state: object, control: object, **kwargs: object
        ) -> None:
            if state.epoch >= 2:  # type: ignore[attr-defined]
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loop, "RichProgress", DiesInTheThirdEpoch)
        with pytest.raises(Killed):
            train(ready(file, backbone), file.parent)
    assert not (file.parent / LAYOUT.manifest).exists()
    assert len(list(file.parent.glob(".training/*/seed-0/checkpoint-*"))) == 2

    begun: list[float] = []

    class Notes(loop.RichProgress):
        def on_epoch_begin(
            self, args: object, state: object, control: object, **kwargs: object
        ) -> None:
            begun.append(round(state.epoch or 0))  # type: ignore[attr-defined]

    monkeypatch.setattr(loop, "RichProgress", Notes)
    train(ready(file, backbone), file.parent)
    assert begun == [2, 3]


def test_missing_parent_and_wrong_site_are_recipe_errors(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no adapter named 'nobody'"):
        ready(recipe(tmp_path / "a", parent="nobody"), backbone)
    with pytest.raises(RecipeError, match="'querry' matches no site"):
        ready(recipe(tmp_path / "b", lora={"sites": ["querry"]}), backbone)


def test_a_child_takes_its_parents_lora(parent: Path, backbone: Path, tmp_path: Path) -> None:
    """Issue 18, point 1: the README's own recipe was refused, with `lora` and without."""
    narrow = recipe(parent.parent / "narrow", lora={"sites": ["value"], "r": 2, "alpha": 6})
    train(ready(narrow, backbone), narrow.parent)
    for lora in ({}, {"dropout": 0.2}, {"r": 2}, {"alpha": 6, "sites": "value"}):
        child = ready(recipe(parent.parent / "child-of", parent="narrow", lora=lora), backbone)
        assert (child.recipe.lora.r, child.recipe.lora.alpha) == (2, 6)
        assert child.recipe.lora.dropout == lora.get("dropout", 0.05)
        assert len(child.recipe.lora.sites) == 2
        assert all(site.endswith(".value") for site in child.recipe.lora.sites)
    manifest = train(child, tmp_path / "child-of")
    assert manifest.parent == load_manifest(narrow.parent).named
    assert set(load_adapter(tmp_path / "child-of").lora) == set(load_adapter(narrow.parent).lora)
    card = (tmp_path / "child-of" / LAYOUT.card).read_text()
    assert "LoRA r=2, alpha=6, sites of its parent" in card


def test_what_contradicts_the_parents_lora_is_told_with_both_values(
    parent: Path, backbone: Path
) -> None:
    lora = {"r": 16, "alpha": 9, "layers": [1], "sites": ["value"]}
    with pytest.raises(RecipeError) as caught:
        ready(recipe(parent.parent / "wide", parent="parent", lora=lora), backbone)
    rank, alpha, sites = caught.value.problems
    assert rank == (
        "lora.r: 16 here, but parent parent has 4, and a child keeps it; leave r out, or write r: 4"
    )
    assert alpha.startswith("lora.alpha: 9 here, but parent parent has 16")
    assert sites.startswith("lora.sites: 1 site (attention.self.value) here, but parent parent")
    assert "has 12 sites (attention.output.dense, " in sites
    assert sites.endswith("leave sites and layers out")
    with pytest.raises(RecipeError, match=r"lora.sites: 6 sites \(.*has 12 sites"):
        ready(recipe(parent.parent / "wide", parent="parent", lora={"layers": [0]}), backbone)


def test_a_data_error_writes_nothing(backbone: Path, tmp_path: Path) -> None:
    file = recipe(tmp_path / "c")
    shutil.copy(tmp_path / "c" / "train.jsonl", tmp_path / "c" / "test.jsonl")
    before = sorted(f.name for f in file.parent.iterdir())
    with pytest.raises(DataError, match="also stand in dev or test"):
        ready(file, backbone)
    assert sorted(f.name for f in file.parent.iterdir()) == before


def test_sources_are_ranked_by_evidence_and_tried(backbone: Path, tmp_path: Path) -> None:
    near, far = (
        recipe(tmp_path / "near"),
        recipe(tmp_path / "far", training={"epochs": 1, "bf16": False}),
    )
    rows = [
        json.dumps({"text": f"simu pesa {word}", "label": y})
        for y in ("ham", "spam")
        for word in ("soon", "late", "you")
    ]
    (far.parent / "train.jsonl").write_text("\n".join(rows))
    for file in (near, far):
        train(ready(file, backbone), file.parent)
    target = recipe(tmp_path / "target")
    command = [
        "sources",
        str(target),
        "--every",
        "--epochs",
        "1",
        "--library",
        str(tmp_path),
        "--json",
        "--backbone",
        str(backbone),
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    near_one, far_one = found["ranked"]
    assert [near_one["name"], far_one["name"]] == ["near", "far"]
    assert near_one["evidence"] > far_one["evidence"]
    assert near_one["closeness"] > far_one["closeness"] + 0.01
    assert {c["name"] for c in found["tried"]} == {"near", "far", None}
    scores = {c["name"]: c["dev_score"] for c in found["tried"]}
    assert found["regret"] == pytest.approx(max(scores["near"], scores["far"]) - scores["near"])
    assert list(tmp_path.glob("*/.training")) == []
    (far.parent / LAYOUT.manifest).unlink()
    (near.parent / LAYOUT.manifest).unlink()
    assert "no adapter" in CliRunner().invoke(app, command).output
