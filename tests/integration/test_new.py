"""`polygraft new`: from a table to a recipe that passes `polygraft train --check`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from polygraft.cli import app, recipes
from polygraft.scaffold import classifier, language, translator
from polygraft.scaffold.guess import Guess
from polygraft.tasks.recipe import load_recipe

runner = CliRunner()
SPAM = [f"{a} {b} {c}" for a in ("win", "claim", "call now") for b in ("cash", "a prize") for c in
        ("today", "now", "here", "soon", "at once")]  # fmt: skip
HAM = [f"{a} {b} {c}" for a in ("hello", "see you", "dinner") for b in ("mum", "dad") for c in
       ("tonight", "at six", "later", "tomorrow", "on the train")]  # fmt: skip


@pytest.fixture(autouse=True)
def shelf(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty library; the texts are taken for English."""
    folder = tmp_path / "library"
    folder.mkdir()
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(backbone))
    monkeypatch.setenv("POLYGRAFT_LIBRARY", str(folder))
    for kind in (classifier, translator):
        monkeypatch.setattr(kind, "languages_of", lambda *_: Guess("languages", "en", "all say so"))
    return folder


def messages(file: Path, spam: list[str] = SPAM, ham: list[str] = HAM, **more: Any) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, delimiter="\t" if file.suffix == ".tsv" else ",")
        writer.writerow(["n", "Message", "kind"])
        rows = [(t, "spam") for t in spam] + [(t, "ham") for t in ham]
        writer.writerows([i, *row] for i, row in enumerate(rows))
    return file


def ran(*arguments: str | Path, **options: Any) -> str:
    result = runner.invoke(app, [str(a) for a in arguments], **options)
    assert result.exit_code == 0, result.output
    return result.output


def checked(recipe: Path) -> dict[str, Any]:
    result = runner.invoke(app, ["train", str(recipe), "--check", "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_table_becomes_splits_and_a_recipe_that_is_fine(tmp_path: Path, shelf: Path) -> None:
    told = ran("new", "spam-mine", "--from", messages(tmp_path / "m.tsv"), "--no-advise")
    for part in ("data.label: kind (2 different", "data.text: Message (60", "languages: en"):
        assert part in told, part
    assert "positive: spam (" in told
    assert f" adapters add {shelf / 'spam-mine'}" in told
    file = shelf / "spam-mine" / "recipe.yaml"
    assert len(file.read_text()) < 1_200
    recipe = load_recipe(file)
    assert (recipe.name, recipe.languages) == ("spam-mine", ["en"])
    found = checked(file)
    assert found["rows"] == {"train": 36, "dev": 12, "test": 12}
    assert [doubt[:17] for doubt in found["doubts"]] == ["test has 12 rows,"]


def test_options_are_taken_before_guesses(tmp_path: Path, shelf: Path) -> None:
    options = ["--text", "Message", "--label", "kind", "--language", "sw,en", "--positive", "ham"]
    told = ran(
        "new", "x", "--from", messages(tmp_path / "m.csv"), *options, "--licence", "CC0", "--yes",
        "--no-advise",
    )  # fmt: skip
    assert "languages: en" not in told
    recipe = yaml.safe_load((shelf / "x" / "recipe.yaml").read_text())
    assert (recipe["languages"], recipe["positive"]) == (["sw", "en"], "ham")
    assert recipe["data"]["licence"] == "CC0"


def test_on_a_terminal_it_asks(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "_on_terminal", lambda: True)
    source = messages(tmp_path / "m.csv")
    answers = [
        "klass",
        "Message",
        "",
        "kind",
        "nowhere",
        "",
        "german",
        "sw",
        "Ham",
        "ham",
        "CC-BY-4.0",
    ]
    told = ran("new", "x", "--from", source, "--no-advise", input="\n".join(answers) + "\n")
    assert told.count("data.label [kind]:") == 3
    for part in (
        "there is no column 'klass', but n, Message, kind",
        "column 'Message' has a new value in every row",
        "'kind' is the column of the labels",
        "there is no column 'nowhere'",
        "German is 'de'",
        "no row has the label 'Ham'; they have ham, spam",
    ):
        assert part in told, part
    recipe = yaml.safe_load((shelf / "x" / "recipe.yaml").read_text())
    assert (recipe["languages"], recipe["positive"]) == (["sw"], "ham")
    assert recipe["data"]["licence"] == "CC-BY-4.0"
    silent = ran("new", "y", "--from", source, "--no-advise", "--yes")
    assert "[kind]:" not in silent


def test_splits_that_are_there_are_named_and_the_missing_one_is_cut(
    tmp_path: Path, shelf: Path
) -> None:
    train = messages(tmp_path / "train.csv")
    test = messages(tmp_path / "test.csv", ["WIN CASH TODAY", "win a boat"], ["good night", "bye"])
    told = ran("new", "x", "--from", train, "--test", test, "--no-advise", "--yes")
    assert "Traceback" not in told
    folder = shelf / "x"
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["data"]["test"] == "../../test.csv"
    assert recipe["data"]["on_leak"] == "drop"
    assert {file.name for file in folder.iterdir()} == {
        "recipe.yaml",
        "train.jsonl",
        "dev.jsonl",
    }
    assert "win cash today" in (folder / "train.jsonl").read_text(), "it is train's to drop"
    assert checked(folder / "recipe.yaml")["rows"] == {"train": 47, "dev": 12, "test": 4}


def test_what_looks_wrong_is_told(tmp_path: Path, shelf: Path) -> None:
    source = messages(tmp_path / "m.csv", [*SPAM, "see you mum at six"], HAM)
    with source.open("a") as out:
        out.write("99,,spam\n100,buy gold,sapm\n")
    told = ran("new", "x", "--from", source, "--no-advise", "--yes")
    for part in (
        "train: 1 row without Message or kind, left out",
        "1 text stands there with more than one label, such as 'see you mum at six' with ham and",
        "too few to tell how good the adapter is",
        "label 'sapm' has 1 row",
    ):
        assert part in told, part


def test_a_table_of_translations_becomes_a_recipe_for_translation(
    tmp_path: Path, shelf: Path, writing_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(writing_backbone))
    with (tmp_path / "pairs.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["english", "yoruba"])
        writer.writerows((text, text[::-1]) for text in [*SPAM, *HAM])
    told = ran("new", "en-yo", "--from", tmp_path / "pairs.csv", "--language", "en,yo", "--yes")
    assert "macro-F1" not in told
    rows = checked(shelf / "en-yo" / "recipe.yaml")["rows"]
    assert rows == {"train": 36, "dev": 12, "test": 12}


def test_advice_follows(tmp_path: Path, shelf: Path) -> None:
    told = ran("new", "x", "--from", messages(tmp_path / "m.csv"), "--yes")
    assert "training rows:" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no name", "--from", "m.csv"], "is not an adapter name"),
        (["x", "--from", "none.csv"], "none.csv cannot be read: no such file"),
        (
            ["x", "--from", "m.csv", "--label", "klass"],
            "there is no column 'klass', but n, Message, kind",
        ),
        (["x", "--from", "m.csv", "--language", "german"], "German is 'de'"),
        (["x", "--from", "m.csv", "--positive", "Spam"], "no row has the label 'Spam'"),
        (["x", "--from", "m.csv", "--text", "kind"], "'kind' is the column of the labels"),
        (["x", "--from", "m.csv", "--text", "Message", "--label", "Message"], "labels repeat"),
        (["taken", "--from", "m.csv"], "recipe.yaml is there already; take another name, or --ov"),
        (["taken", "--from", "library/taken/train.jsonl", "--overwrite"], "is read from"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: list[str], says: str, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages(tmp_path / "m.csv")
    (shelf / "taken").mkdir()
    (shelf / "taken" / "recipe.yaml").write_text("name: taken\n")
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["new", *arguments, "--yes", "--no-advise"])
    assert result.exit_code == 1
    assert says in result.output
    assert not (shelf / "x").exists()


def test_no_column_is_copied_that_the_recipe_does_not_name(tmp_path: Path, shelf: Path) -> None:
    source = tmp_path / "m.csv"
    with source.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["telephone", "text", "label", "from"])
        writer.writerows([f"07{i:08}", t, "01", "archive"] for i, t in enumerate(SPAM))
        writer.writerows([f"07{i:08}", t, "NA", "friends"] for i, t in enumerate(HAM, 50))
        writer.writerow(["0766422127", "a single one", " 01 ", "archive"])
    told = ran("new", "x", "--from", source, "--no-advise", "--yes")
    assert "column from tells the label of 100.0% of the rows" in told
    rows = [
        json.loads(line)
        for name in ("train", "dev", "test")
        for line in (shelf / "x" / f"{name}.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 61
    assert {tuple(row) for row in rows} == {("text", "label")}
    assert {row["label"] for row in rows} == {"01", "NA"}
    assert checked(shelf / "x" / "recipe.yaml")["labels"] == ["01", "NA"]


def test_overwrite_writes_anew(tmp_path: Path, shelf: Path) -> None:
    source = messages(tmp_path / "m.csv")
    ran("new", "x", "--from", source, "--no-advise", "--yes", "--language", "sw")
    ran("new", "x", "--from", source, "--no-advise", "--yes", "--language", "ha", "--overwrite")
    assert load_recipe(shelf / "x" / "recipe.yaml").languages == ["ha"]


def test_labels_with_one_row_leave_a_recipe_that_is_fine(tmp_path: Path, shelf: Path) -> None:
    source = messages(tmp_path / "m.csv")
    with source.open("a") as out:
        out.write("90,best wishes to all of you,Pongezi\n91,bring it back,BILI\n")
    told = ran("new", "x", "--from", source, "--no-advise", "--yes")
    assert "label 'Pongezi' has one row" in told
    assert set(checked(shelf / "x" / "recipe.yaml")["labels"]) == {"BILI", "Pongezi", "ham", "spam"}


def test_a_test_that_cannot_tell_is_told_of_by_check(tmp_path: Path, shelf: Path) -> None:
    source = messages(tmp_path / "m.csv", SPAM[::3], HAM[::3])
    told = ran("new", "x", "--from", source, "--no-advise", "--yes")
    says = "test has 4 rows, too few to tell how good the adapter is: even with all of them right"
    assert says in told
    assert checked(shelf / "x" / "recipe.yaml")["doubts"] == [
        f"{says}, the true share could be as low as 40%; give 30 rows at least, better 200"
    ]


def test_the_commands_that_are_next_can_be_run(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["some/.venv/bin/polygraft", "new"])
    monkeypatch.setenv("PATH", str(tmp_path))
    told = ran("new", "x", "--from", messages(tmp_path / "m.csv"), "--yes")
    recipe = shelf / "x" / "recipe.yaml"
    assert f"  some/.venv/bin/polygraft train {recipe} --check\n" in told
    assert "to follow an advice above, put its lines at the end of the recipe before" in told


def test_without_a_language_identifier_the_language_is_not_known(
    backbone: Path, shelf: Path
) -> None:
    from polygraft.adapters.library import Library

    guess = language.languages_of(["hello"], Library(shelf), backbone)
    assert guess.value == "und"
    assert "could not be recognised" in guess.why
