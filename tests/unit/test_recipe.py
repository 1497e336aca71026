from pathlib import Path

import pytest

from polygraft.errors import RecipeError
from polygraft.tasks import languages
from polygraft.tasks.fields import NO_DEFAULT, fields_of, nearest
from polygraft.tasks.recipe import expand, load_recipe
from polygraft.tasks.registry import TASKS, recipe_class

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
    assert "data.txt: there is no such field; did you mean data.text? (line 6)" in told


def problems_of(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    return caught.value.problems


def test_of_a_choice_of_kinds_the_one_that_was_meant_is_told(tmp_path: Path) -> None:
    head = "name: x\nlanguages: [en]\ndata:\n  dev: d.csv\n  train:\n"
    wrong_key = problems_of(head + "  - t.csv\n  - {file: a.txt, lable: en}\n", tmp_path)
    assert wrong_key == [
        "data.train.1.label: Field required (line 7)",
        "data.train.1.lable: there is no such field; did you mean data.train.label? (line 7)",
    ]
    (number,) = problems_of(head.removesuffix("  train:\n") + "  train: 5\n", tmp_path)
    assert number.startswith("data.train: Input should be a valid string (given: 5), or ")
    assert number.endswith("(line 5)")


def test_a_language_is_refused_with_the_code_it_should_be(tmp_path: Path) -> None:
    """Issue 18, point 13: `languages: [german]` was taken."""
    (problem,) = problems_of(
        "name: x\nlanguages: [de, german, yor]\ndata: {train: t, dev: d}\n", tmp_path
    )
    assert problem == (
        "languages: 'german' is no language code; German is 'de'; 'yor' is written 'yo' (BCP 47) "
        "(line 2)"
    )


@pytest.mark.parametrize(
    ("code", "says"),
    [
        *((code, None) for code in ("en", "haw", "pcm", "tl", "fil", "zh-Hans", "pt-BR", "und")),
        ("Kiswahili", "Swahili is 'sw'"),
        ("deutsch", "German is 'de'"),
        ("jp", "Japanese is 'ja'"),
        ("EN", "written 'en'"),
        ("es_mx", "written 'es-MX'"),
        ("xx", "give one of ISO 639"),
        ("", "give one of ISO 639"),
    ],
)
def test_language_codes(code: str, says: str | None) -> None:
    problem = languages.problem_of(code)
    assert problem is None if says is None else says in (problem or "")


@pytest.mark.parametrize("task", TASKS)
def test_every_field_says_what_it_is_for_and_its_example_is_one(task: str) -> None:
    fields = fields_of(recipe_class(task))
    assert len(fields) > 20
    for field in fields.values():
        assert field.purpose, field.path
        assert field.examples or field.default is not NO_DEFAULT, field.path
        assert field.example.startswith(f"{field.keys[0]}: "), field.path
    whole = recipe_class(task).model_validate(recipe_of_examples(task))
    assert whole.name == "spam-mine"


def recipe_of_examples(task: str) -> dict[str, object]:
    """The examples of all fields that must be given."""
    fields = fields_of(recipe_class(task)).values()
    return {
        field.path: field.examples[0]
        for field in fields
        if len(field.keys) == 1 and field.default is NO_DEFAULT
    } | ({"languages": ["en", "yo"]} if task == "translation" else {})


def test_what_was_meant_by_an_unknown_field() -> None:
    paths = list(fields_of(recipe_class("classification")))
    assert nearest("epochs", paths) == ["training.epochs"]
    assert nearest("data.txt", paths) == ["data.text"]
    assert nearest("trainings.epochs", paths) == ["training.epochs"]
    assert nearest("parnet", paths) == ["parent"]
    assert nearest("zzzzzz", paths) == []


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
