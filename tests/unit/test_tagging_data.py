from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from polygraft.errors import DataError, RecipeError
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.tagging.data import load_splits, read_split
from polygraft.tasks.tagging.recipe import TaggingRecipe
from polygraft.tasks.tagging.rows import TaggedRow, TaggedSplits

CONLL = "Samia\tX\tB-PER\nyuko\tX\tO\nDar\tX\tB-LOC\nes\tX\tI-LOC\nSalaam\tX\tI-LOC\n.\tX\tO\n"


def splits(folder: Path, train: str, kind: str = "conll", **recipe: object) -> TaggedSplits:
    """The splits of a recipe with this training file, and another one as dev."""
    (folder / f"train.{kind}").write_text(train, encoding="utf-8")
    (folder / "dev.conll").write_text(
        "Juma\tX\tB-PER\nalikuja\tX\tO\njana\tX\tO\n", encoding="utf-8"
    )
    data = {"train": f"train.{kind}", "dev": "dev.conll"} | recipe.pop("data", {})  # type: ignore[operator]
    file = folder / "recipe.yaml"
    file.write_text(
        yaml.safe_dump(
            {"name": "t", "task": "tagging", "languages": ["sw"], "data": data, **recipe}
        )
    )
    loaded = load_recipe(file)
    assert isinstance(loaded, TaggingRecipe)
    return load_splits(loaded, folder)


def problems_of(folder: Path, train: str, kind: str = "conll", **recipe: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        splits(folder, train, kind, **recipe)
    return caught.value.problems


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_conll_of_any_column_with_comments_and_documents(tmp_path: Path) -> None:
    text = f"-DOCSTART- X O\n\n# id = 1\n{CONLL}\n\nAmina\tX\tB-PER\r\n"
    train = splits(tmp_path, text).train
    assert [row.tokens for row in train] == [
        ["Samia", "yuko", "Dar", "es", "Salaam", "."],
        ["Amina"],
    ]
    assert train[0].tags == ["B-PER", "O", "B-LOC", "I-LOC", "I-LOC", "O"]


def test_conll_with_the_word_in_a_later_column(tmp_path: Path) -> None:
    (tmp_path / "dev2.conll").write_text("B-PER Juma X\nO alikuja X\n")
    data = {"word_column": 1, "tag_column": 0, "dev": "dev2.conll"}
    (row,) = splits(tmp_path, "B-PER Samia X\nO yuko X\nO hapa X\n", data=data).train
    assert (row.tokens, row.tags) == (["Samia", "yuko", "hapa"], ["B-PER", "O", "O"])


def test_conllu_takes_words_and_leaves_ranges_out(tmp_path: Path) -> None:
    text = (
        "# text = vámonos al mar\n1-2\tvámonos\t_\t_\t_\n1\tvamos\tir\tVERB\t_\n"
        "2\tnos\ty\tPRON\t_\n"
        "2.1\tx\tx\tX\t_\n3\tmar\tmar\tNOUN\t_\n"
    )
    (tmp_path / "dev.conllu").write_text("1\tsol\tsol\tNOUN\t_\n")
    data = {"tag_column": 3, "dev": "dev.conllu"}
    loaded = splits(tmp_path, text, "conllu", data=data)
    assert loaded.train[0].tokens == ["vamos", "nos", "mar"]
    assert loaded.tag_set.tags == ["NOUN", "PRON", "VERB"]
    assert loaded.tag_set.scheme == "none"


def test_json_lines_with_words_or_with_spans_compressed_or_not(tmp_path: Path) -> None:
    rows = lines(
        {"tokens": ["Samia", "yuko"], "tags": ["B-PER", "O"]},
        {"text": "Leo Dar es Salaam, jua.", "spans": [{"start": 4, "end": 17, "label": "LOC"}]},
    )
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    loaded = splits(tmp_path, "", data={"train": "t.jsonl.gz"})
    assert loaded.train[1].tokens == ["Leo", "Dar", "es", "Salaam", ",", "jua", "."]
    assert loaded.train[1].tags == ["O", "B-LOC", "I-LOC", "I-LOC", "O", "O", "O"]
    assert loaded.tag_set.labels == ["LOC", "PER"]
    assert loaded.sources[0]["rows"] == 2


def test_a_span_within_a_word_is_widened_and_told(tmp_path: Path) -> None:
    rows = lines({"text": "Nairobi's jua", "spans": [{"start": 0, "end": 7, "label": "PER"}]})
    loaded = splits(tmp_path, rows, "jsonl")
    assert loaded.train[0].tags == ["B-PER", "O"]
    assert any("1 spans begin or end within a word" in doubt for doubt in loaded.doubts)


def test_wrong_tags_are_repaired_and_told(tmp_path: Path) -> None:
    loaded = splits(tmp_path, "Samia I-PER\nSuluhu I-PER\nyuko O\n")
    assert loaded.train[0].tags == ["B-PER", "I-PER", "O"]
    (doubt,) = [doubt for doubt in loaded.doubts if doubt.startswith("train: 1 tags")]
    assert doubt == "train: 1 tags were not as BIO has them ('Samia': I-PER read as B-PER)"
    assert read_split(tmp_path / "recipe.yaml", "train") == loaded.train


@pytest.mark.parametrize(
    ("train", "kind", "says"),
    [
        (
            lines({"tokens": ["a", "b"], "tags": ["O"]}),
            "jsonl",
            "line 1 has 2 words and 1 tags; give every word one tag",
        ),
        (lines({"tokens": "ab", "tags": ["O"]}), "jsonl", "tokens and tags are not two lists"),
        (lines({"tokens": ["a", 1], "tags": ["O", "O"]}), "jsonl", "a tag that is not a string"),
        (lines({"tokens": ["a", " "], "tags": ["O", "O"]}), "jsonl", "has nothing as word 2"),
        (lines({"tokens": [], "tags": []}), "jsonl", "line 1 has no words"),
        (
            lines({"text": "ab cd", "spans": [{"start": 3, "end": 9, "label": "PER"}]}),
            "jsonl",
            "span 3 to 9 (PER) points outside the text, which has 5 characters",
        ),
        (
            lines(
                {
                    "text": "ab cd ef",
                    "spans": [
                        {"start": 0, "end": 5, "label": "PER"},
                        {"start": 3, "end": 8, "label": "LOC"},
                    ],
                }
            ),
            "jsonl",
            "spans 0 to 5 (PER) and 3 to 8 (LOC) cross; a word has one tag",
        ),
        (
            lines({"text": "ab", "spans": [{"start": 0}]}),
            "jsonl",
            'is not {"start", "end", "label"}',
        ),
        (
            lines({"text": "a  b", "spans": [{"start": 1, "end": 3, "label": "X"}]}),
            "jsonl",
            "span 1 to 3 (X) holds no word of its own",
        ),
        (
            lines({"words": ["a"]}),
            "jsonl",
            "has neither tokens and tags nor text and spans; it has words",
        ),
        ("Samia B-PER\nyuko\n", "conll", "line 2 has 1 columns, and none numbered 1 for the tag"),
        (
            lines({"tokens": ["na"] * 100_000, "tags": ["O"] * 100_000}),
            "jsonl",
            "has 100,000 words, 300,000 characters, at most 20,000 are read at once",
        ),
        ("", "conll", "it has no rows"),
        ("a O\nb O\n", "conll", "train: every word has the tag O, so there is nothing to learn"),
    ],
)
def test_bad_rows_are_told(train: str, kind: str, says: str, tmp_path: Path) -> None:
    assert says in " ".join(problems_of(tmp_path, train, kind))


def test_unknown_labels_are_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "Samia B-PRE\nyuko O\nhapa O\n")
    assert problem == "dev: labels ['PER'] are not among ['PRE']; is 'PER' meant for 'PRE'?"
    problems = problems_of(tmp_path, CONLL.replace("LOC", "GPE"), labels=["PER", "LOC"])
    assert problems == ["train: labels ['GPE'] are not among ['PER', 'LOC']"]


def test_tags_of_another_scheme_are_told(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "Samia S-PER\nyuko O\nhapa X\n", scheme="BIO")
    assert problem.startswith("train: tags 'S-PER' (1), 'X' (1) are not of the scheme BIO")


def test_rows_that_stand_in_dev_too_are_refused_or_dropped(tmp_path: Path) -> None:
    train = CONLL + "\nJuma\tX\tB-PER\nalikuja\tX\tO\njana\tX\tO\n"
    (problem,) = problems_of(tmp_path, train)
    assert "1 rows also stand in dev or test" in problem
    assert len(splits(tmp_path, train, data={"on_leak": "drop"}).train) == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"strategy": "parent"}, "strategy: parent needs parent"),
        ({"strategy": "head", "parent": "ner"}, "starts from the bare backbone, not from parent"),
        ({"labels": ["A", "A"]}, "repeats a label"),
        ({"scheme": "IOB"}, "scheme:"),
        ({"multi_label": True}, "there is no such field"),
    ],
)
def test_bad_recipes_are_told(fields: dict[str, object], says: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    recipe = {
        "name": "t",
        "task": "tagging",
        "languages": ["sw"],
        "data": {"train": "a", "dev": "b"},
    }
    file.write_text(yaml.safe_dump(recipe | fields))
    with pytest.raises(RecipeError, match=says):
        load_recipe(file)


def test_tokens_of_several_words_keep_their_span() -> None:
    """What is tagged is the words of a served text; figures are of the source's tokens."""
    row = TaggedRow.of(["COVID-19", "Al-Shabab", "na"], ["O", "B-ORG", "O"])
    assert row.words == ["COVID", "-", "19", "Al", "-", "Shabab", "na"]
    assert row.word_tags("BIO") == ["O", "O", "O", "B-ORG", "I-ORG", "I-ORG", "O"]
    assert row.word_tags("BIOES") == ["O", "O", "O", "B-ORG", "I-ORG", "E-ORG", "O"]
    assert row.token_tags(row.word_tags("BIO"), "BIO") == row.tags
    late = ["O", "O", "O", "O", "B-ORG", "I-ORG", "I-ORG"]
    assert row.token_tags(late, "BIO") == ["O", "O", "B-ORG"]
