"""Learning from another adapter: its name, its vectors where its rows are not at hand, its
labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.errors import RecipeError
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.shared_vectors import SharedVectors, read_vectors
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import train

SPAM = [f"{a} {b} {c}" for a in ("win", "claim") for b in ("free", "cash") for c in "abcdefgh"]
HAM = [f"{a} {b} {c}" for a in ("hello", "see") for b in ("mum", "you") for c in "abcdefgh"]
DATA = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}


def recipe(folder: Path, spam: str = "spam", ham: str = "ham", **changes: object) -> Path:
    """A recipe and its rows, 20, 6 and 6 a label; near-equal ones may stay on both sides."""
    folder.mkdir(parents=True)
    for split, part in (("train", slice(0, 20)), ("dev", slice(20, 26)), ("test", slice(26, 32))):
        rows = [
            {"text": text, "label": label, "id": f"{split}-{i}-{label}"}
            for label, some in ((spam, SPAM), (ham, HAM))
            for i, text in enumerate(some[part])
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = {
        "name": folder.name,
        "languages": ["en"],
        "strategy": "head",
        "lora": {"r": 4},
        "data": DATA | {"id": "id"},
    }
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return folder / LAYOUT.recipe


def job_of(file: Path, backbone: Path, library: Path | None = None) -> ClassificationJob:
    content = load_recipe(file)
    assert isinstance(content, ClassificationRecipe)
    shelf = Library(library) if library else None
    return prepare(content, file, backbone, library=shelf, allow_leak="templates")


@pytest.fixture(scope="module")
def shelf(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of one adapter, `spam`, that shares its vectors; its rows are gone."""
    root = tmp_path_factory.mktemp("shelf")
    train(job_of(recipe(root / "spam"), backbone), root / "spam")
    for split in ("train", "dev", "test"):
        (root / "spam" / f"{split}.jsonl").unlink()
    return root


def test_training_shares_vectors_of_its_rows_and_no_text(shelf: Path) -> None:
    manifest = load_manifest(shelf / "spam", ClassificationManifest)
    rows = read_vectors(shelf / "spam", manifest)
    assert rows
    assert sorted(rows.labels) == ["ham"] * 20 + ["spam"] * 20
    assert len(set(rows.ids.tolist())) == 40
    content = (shelf / "spam" / LAYOUT.vectors).read_bytes()
    assert not [text for text in (*SPAM, *HAM, "train-1") if text.encode() in content]
    card = (shelf / "spam" / LAYOUT.card).read_text(encoding="utf-8")
    assert f"`{LAYOUT.vectors}` holds vectors of training rows" in card


def test_a_head_learns_from_vectors_where_the_rows_are_not_at_hand(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """By a name in the library, with labels of its own."""
    source = {"adapter": "spam", "labels": {"scam": "spam", "fine": "ham"}}
    changes = {"source": source, "data": DATA | {"id": "id", "shots": 2}}
    file = recipe(tmp_path / "own" / "new", "scam", "fine", **changes)
    job = job_of(file, backbone, shelf)
    assert isinstance(job.source_rows, SharedVectors)
    assert sorted(job.source_rows.labels) == ["fine"] * 20 + ["scam"] * 20
    assert job.data[-1]["source"].startswith(f"{LAYOUT.vectors} of spam@")
    manifest = train(job, file.parent)
    (seed,) = manifest.metrics["seeds"].values()
    assert seed["source_weight"] >= 0
    assert manifest.metrics["gain_from_transfer"]["verdict"] in ("helps", "no evidence", "harms")


def test_vectors_stand_for_the_rows_themselves(backbone: Path, shelf: Path, tmp_path: Path) -> None:
    """The same head, but for rounding, from the rows and from their vectors."""
    heads = []
    for name, library in (("rows", tmp_path / "beside"), ("vectors", shelf)):
        if name == "rows":
            recipe(library / "spam")
        source = {"adapter": "spam", "weight": 1.0, "by": "even"}
        changes = {"source": source, "data": DATA | {"id": "id", "shots": 2}}
        file = recipe(tmp_path / name / "new", **changes)
        folder = tmp_path / name / "out"
        folder.mkdir()
        train(job_of(file, backbone, library), folder)
        heads.append(load_adapter(folder).head.own.weight)
    far = np.abs(heads[0]).max()
    np.testing.assert_allclose(heads[1], heads[0], atol=0.05 * far)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": {"adapter": "spma"}}, "did you mean spam?"),
        ({"strategy": "parent", "parent": "spma"}, "did you mean spam?"),
        ({"strategy": "multi-task", "tasks": ["spma"]}, "tasks: no adapter named 'spma'"),
        ({"source": {"adapter": "../nowhere"}}, "no adapter in"),
        ({"source": {"adapter": "spam", "labels": {"spam": "scam"}}}, "not one of its labels"),
        (
            {"strategy": "mixed", "source": {"adapter": "spam"}},
            "for strategy mixed its vectors are not enough",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_told(
    backbone: Path, shelf: Path, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    file = recipe(tmp_path / "new", **changes)
    with pytest.raises(RecipeError) as told:
        job_of(file, backbone, shelf)
    assert says in str(told.value).replace("\n", " ")
    assert str(file) in str(told.value)


def test_what_lies_beside_the_recipe_comes_before_the_library(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "new", parent="spam", strategy="parent")
    recipe(tmp_path / "other" / "spam")
    child = recipe(tmp_path / "other" / "new", parent="spam", strategy="parent")
    with pytest.raises(RecipeError, match="not trained yet"):
        job_of(child, backbone)
    assert job_of(file, backbone, shelf).parent == shelf / "spam"
    shutil.copytree(shelf / "spam", tmp_path / "spam")
    assert job_of(file, backbone, shelf).parent == tmp_path / "spam"


def test_labels_without_a_map_are_refused_with_both_sides(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "new", "scam", "fine", source={"adapter": "spam"})
    with pytest.raises(RecipeError, match=r"its rows have ham, spam; .*\(fine, scam\)"):
        job_of(file, backbone, shelf)


def test_a_recipe_can_forbid_that_vectors_are_shared(backbone: Path, tmp_path: Path) -> None:
    data = DATA | {"id": "id", "share_vectors": False}
    file = recipe(tmp_path / "closed", data=data)
    manifest = train(job_of(file, backbone), file.parent)
    assert LAYOUT.vectors not in manifest.files
    assert not (file.parent / LAYOUT.vectors).exists()
    assert "the recipe forbids it" in (file.parent / LAYOUT.card).read_text(encoding="utf-8")
    options = ["--backbone", str(backbone), "--library", str(tmp_path)]
    refused = CliRunner().invoke(app, ["adapters", "vectors", "closed", *options])
    assert refused.exit_code == 1
    assert "share_vectors: false" in refused.output


def test_vectors_are_added_to_an_adapter_that_was_trained_without(
    backbone: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "older")
    manifest = train(job_of(file, backbone), file.parent)
    with_vectors = read_vectors(file.parent, manifest)
    files = {name: digest for name, digest in manifest.files.items() if name != LAYOUT.vectors}
    older = manifest.model_copy(update={"files": files})
    (file.parent / LAYOUT.vectors).unlink()
    (file.parent / LAYOUT.manifest).write_text(older.model_dump_json(), encoding="utf-8")
    options = ["--backbone", str(backbone), "--library", str(tmp_path)]
    done = CliRunner().invoke(app, ["adapters", "vectors", "older", *options])
    assert done.exit_code == 0, done.output
    added = load_manifest(file.parent, ClassificationManifest)
    again = read_vectors(file.parent, added)
    assert with_vectors
    assert again
    assert again.labels == with_vectors.labels
    np.testing.assert_allclose(again.vectors, with_vectors.vectors, atol=0.05)
    assert added.version == manifest.version
    assert added.model_copy(update={"files": manifest.files}) == manifest
    assert (file.parent / "train.jsonl").is_file()
    unknown = CliRunner().invoke(app, ["adapters", "vectors", "oldr", *options])
    assert unknown.exit_code == 1
    assert "did you mean older?" in unknown.output
