from pathlib import Path

import pytest

from polygraft.errors import RecipeError
from polygraft.tasks.recipe import expand, load_recipe

FIVE_MISTAKES = """
name: Spam EN
languages: []
labels: [ham, spam]
positive: scam
data: {train: a.csv, dev: b.csv, txt: body}
lora: {r: 0}
training: {epochs: many}
"""


def test_five_mistakes_are_reported_at_once_with_their_paths(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(FIVE_MISTAKES)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for path in ("name:", "languages:", "data.txt:", "lora.r:", "training.epochs:"):
        assert path in told


@pytest.mark.parametrize("text", ["- a list", "a: [1", "\x00"])
def test_a_file_that_is_no_mapping_is_a_recipe_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(file)


def test_a_missing_file_is_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "none.yaml")


def test_positive_must_be_a_label(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "name: x\nlanguages: [en]\nlabels: [a, b]\npositive: c\ndata: {train: t.csv, dev: d.csv}\n"
    )
    with pytest.raises(RecipeError, match="positive: 'c' is not among labels"):
        load_recipe(file)


def test_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT_OF_DATA", "/data")
    assert expand("${ROOT_OF_DATA}/x.csv", tmp_path) == "/data/x.csv"
    assert expand("x.csv", tmp_path) == str(tmp_path / "x.csv")
    assert expand("s3://bucket/x.csv", tmp_path) == "s3://bucket/x.csv"
    with pytest.raises(KeyError, match="NOT_SET"):
        expand("${NOT_SET}/x.csv", tmp_path)


def test_every_bundled_recipe_loads(root: Path) -> None:
    recipes = sorted((root / "adapters").glob("*/recipe.yaml"))
    assert len(recipes) >= 5
    for file in recipes:
        assert load_recipe(file).name == file.parent.name
