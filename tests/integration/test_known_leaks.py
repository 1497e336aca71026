"""Leaks that are known to be in public data, planted the way people plant them without noticing,
are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from polygraft.architectures.folder import default_backbone
from polygraft.data.reading import read_source
from polygraft.errors import DataError
from polygraft.tasks.classification.job import prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation.data import load_pairs
from polygraft.tasks.translation.recipe import TranslationRecipe

DATA = Path(os.environ.get("POLYGRAFT_DATA", "nowhere"))
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="POLYGRAFT_DATA names no folder with the public data"
    ),
]


def test_mafand_lies_inside_menyo(tmp_path: Path) -> None:
    """MAFAND's Yoruba was cut again from MENYO: training on one and choosing by the other trains on
    the answers."""
    pair = {"source": "en", "target": "yo"}
    content = {
        "name": "en-yo",
        "task": "translation",
        "languages": ["en", "yo"],
        "data": {
            "train": [pair | {"file": str(DATA / "mafand/en-yo.train.tsv.gz")}],
            "dev": [pair | {"file": str(DATA / "menyo20k/en-yo.dev.tsv.gz")}],
        },
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert isinstance(recipe, TranslationRecipe)
    with pytest.raises(DataError) as told:
        load_pairs(recipe, tmp_path)
    found = int(str(told.value).split(" pairs have a side")[0].split()[-1].replace(",", ""))
    assert found > 1000, told.value


@pytest.mark.parametrize("with_ids", [True, False])
def test_nusax_split_again_leaks_translations(tmp_path: Path, with_ids: bool) -> None:
    """The official splits keep a review and its translations on one side; a new random split of one
    language does not. The ids tell; without them, the backbone's vectors do."""
    folder = DATA / "nusax_senti"
    rows = {split: read_source(str(folder / f"jv.{split}.jsonl.gz")) for split in ("train", "test")}
    mixed = [*rows["train"], *rows["test"]]
    cut = {"train": mixed[1::2], "dev": mixed[::4], "test": mixed[2::4]}
    for split, some in cut.items():
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    ids = {"id": "id"} if with_ids else {}
    parent = {
        "name": "id",
        "languages": ["id"],
        "data": {
            "train": str(folder / "id.train.jsonl.gz"),
            "dev": str(folder / "id.dev.jsonl.gz"),
            **ids,
        },
    }
    child = {
        "name": "jv",
        "languages": ["jv"],
        "strategy": "mixed",
        "source": {"adapter": "id"},
        "data": {f"{s}": f"../{s}.jsonl" for s in cut} | ids,
    }
    for content in (parent, child):
        (tmp_path / content["name"]).mkdir()
        (tmp_path / content["name"] / "recipe.yaml").write_text(
            yaml.safe_dump(content), encoding="utf-8"
        )
    recipe = load_recipe(tmp_path / "jv" / "recipe.yaml")
    assert isinstance(recipe, ClassificationRecipe)
    with pytest.raises(
        DataError,
        match="are translations of dev or test rows" if with_ids else "look like translations",
    ):
        prepare(recipe, tmp_path / "jv" / "recipe.yaml", default_backbone())
