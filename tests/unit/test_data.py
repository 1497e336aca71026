import gzip
import json
from collections import Counter
from pathlib import Path

import pandas
import pytest

from polygraft.data.labels import suspicious
from polygraft.data.lines import split_lines
from polygraft.data.reading import read_source
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.tasks.classification.data import check_parent, load_splits, read_split
from polygraft.tasks.classification.recipe import ClassificationRecipe

TRAIN = [
    ("win cash 55", "spam"),
    ("see you", "ham"),
    ("free prize", "spam"),
    ("dinner tonight", "ham"),
]
DEV = [("claim now", "spam"), ("running late", "ham")]


def write(
    folder: Path, name: str, rows: list[tuple[str, str]], ids: list[str] | None = None
) -> None:
    records = [
        {"text": t, "label": y} | ({"id": ids[i]} if ids else {}) for i, (t, y) in enumerate(rows)
    ]
    (folder / name).write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def recipe(**data: object) -> ClassificationRecipe:
    return ClassificationRecipe.model_validate(
        {
            "name": "x",
            "languages": ["en"],
            "data": {"train": "train.jsonl", "dev": "dev.jsonl"} | data,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train.jsonl", TRAIN)
    write(tmp_path, "dev.jsonl", DEV)
    return tmp_path


def test_text_files_with_one_label_each(folder: Path) -> None:
    with gzip.open(folder / "en.txt.gz", "wt") as file:
        file.write("".join(f"line {i}\n\n" for i in range(100)) + "x" * 500 + "\n")
    (folder / "pairs.tsv").write_text("hello there\tBawo\nsee you\tO dabo\nonly one column\n")
    train = [
        {"file": "en.txt.gz", "label": "en", "limit": 10},
        {"file": "pairs.tsv", "label": "yo", "column": 1},
    ]
    (folder / "dev.jsonl").write_text('{"text": "claim now", "label": "en"}\n')
    splits = load_splits(recipe(train=train), folder)
    assert splits.labels == ["en", "yo"]
    assert [
        t for t, y in zip(splits.train.texts, splits.train.labels, strict=True) if y == "yo"
    ] == ["Bawo", "O dabo"]
    assert splits.train.texts[:2] == ["line 0", "line 10"]
    write(folder, "labelled.jsonl", [("a text", "its own label")])
    named = {"file": "labelled.jsonl", "label": "en", "column": "text"}
    splits = load_splits(recipe(train=[*train, named]), folder)
    assert (splits.train.texts[-1], splits.train.labels[-1]) == ("a text", "en")
    with pytest.raises(DataError, match="lacks column body; it has text, label"):
        load_splits(recipe(train=[*train, named | {"column": "body"}]), folder)
    with pytest.raises(DataError, match=r"nowhere\.txt cannot be read"):
        load_splits(recipe(train=[{"file": "nowhere.txt", "label": "en"}, *train]), folder)


def test_fields_stand_beside_their_own_row_when_text_with_one_label_comes_before_a_table(
    folder: Path,
) -> None:
    """Issue 15, defect 9: `others` left such text out, so that the fields of a table moved up to
    the rows before it."""
    (folder / "ham.txt").write_text("call mum\nsee the train\n")
    table = [{"text": t, "label": y, "app": f"app {i}"} for i, (t, y) in enumerate(TRAIN)]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    splits = load_splits(recipe(train=[{"file": "ham.txt", "label": "ham"}, "table.jsonl"]), folder)
    fields = [{"file": "table.jsonl", "app": f"app {i}"} for i in range(len(TRAIN))]
    assert list(zip(splits.train.texts[2:], splits.train.others[2:], strict=True)) == [
        (text, field) for (text, _), field in zip(TRAIN, fields, strict=True)
    ]
    assert splits.train.others[:2] == [{}, {}]
    assert splits.train.without({0, 2}).others == [{}, *fields[1:]]


def test_splits_labels_and_hashes(folder: Path) -> None:
    splits = load_splits(recipe(), folder)
    assert (len(splits.train), len(splits.dev), splits.test) == (4, 2, None)
    assert splits.labels == ["ham", "spam"]
    assert [s["rows"] for s in splits.sources] == [4, 2]
    assert splits.sources[0]["sha256"] != splits.sources[1]["sha256"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl.gz", ".parquet"])
def test_every_format_reads_alike(tmp_path: Path, suffix: str) -> None:
    frame = pandas.DataFrame(TRAIN, columns=["text", "label"])
    file = tmp_path / f"train{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(file)
    elif suffix == ".jsonl.gz":
        with gzip.open(file, "wt") as out:
            out.write(frame.to_json(orient="records", lines=True))
    else:
        frame.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert [(r["text"], r["label"]) for r in read_source(str(file))] == TRAIN


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".jsonl.gz"])
def test_a_text_may_hold_what_str_splitlines_cuts_at(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"text": f"win{mark}cash", "label": "spam"} for mark in "\u2028\u2029\x85\x0b\x0c\x1c\x1e"
    ]
    file = tmp_path / f"train{suffix}"
    if ".jsonl" in suffix:
        with (
            gzip.open(file, "wt", encoding="utf-8")
            if suffix.endswith(".gz")
            else file.open("w", encoding="utf-8") as out
        ):
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        pandas.DataFrame(rows).to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert read_source(str(file)) == rows


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_cells_stay_text_and_only_empty_ones_are_missing(tmp_path: Path, suffix: str) -> None:
    """Labels 01 and NA became 1.0 and nothing, true became True, a telephone lost its zero."""
    labels = ["01", "NA", "true", "1.50", "null", "2024-01-02", "0766422127", ""]
    mark = "\t" if "tsv" in suffix else ","
    content = "".join(
        f"{text}{mark}{label}\n" for text, label in zip("ABCDEFGH", labels, strict=True)
    )
    content = f"text{mark}label\n{content}"
    file = tmp_path / f"train{suffix}"
    file.write_bytes(gzip.compress(content.encode()) if "gz" in suffix else content.encode())
    assert [row["label"] for row in read_source(str(file))] == labels
    with pytest.raises(DataError) as caught:
        load_splits(recipe(train=str(file)), tmp_path)
    assert f"train: {file}: row 8 has no label" in caught.value.problems


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "a.csv: it is empty"),
        ("a.csv", b"text,label\n", "a.csv: it has the header text, label and no rows"),
        ("a.csv", b"text,label\na,b,c\n", "a.csv: line 2 has 3 fields"),
        ("a.csv", "text,label\ncaf\xe9,b\n".encode("cp1252"), "a.csv: line 2 is not UTF-8"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "a.jsonl: line 2 is not JSON"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz cannot be read: Not a gzipped file"),
    ],
)
def test_an_unreadable_table_is_told_with_line_and_cause(
    folder: Path, name: str, content: bytes, says: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_splits(recipe(train=name), folder)
    assert caught.value.problems[0].startswith(f"train: {says}")


def test_white_space_around_a_label_makes_no_label_of_its_own(folder: Path) -> None:
    write(folder, "dev.jsonl", [("claim now", "spam "), ("hi", " ham")])
    assert load_splits(recipe(), folder).dev.labels == ["spam", "ham"]


@pytest.mark.parametrize(
    ("text", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("\na\n\n", ["", "a", ""])]
)
def test_lines(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines
    assert split_lines("a\u2028b\x85c\r\nd") == ["a\u2028b\x85c\r", "d"]


def test_missing_label_column_names_the_columns_there_are(folder: Path) -> None:
    with pytest.raises(DataError, match="lacks column klass; it has text, label"):
        load_splits(recipe(label="klass"), folder)


def test_every_unreadable_source_is_reported(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_splits(
            recipe(train="none.jsonl", dev="${SURELY_NOT_SET}/d.csv", test="x.docx"), folder
        )
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    assert "SURELY_NOT_SET" in told
    assert "unknown kind of file" in told


def test_one_class_only(folder: Path) -> None:
    write(folder, "train.jsonl", [(t, "ham") for t, _ in TRAIN])
    write(folder, "dev.jsonl", [("claim now", "ham")])
    with pytest.raises(DataError, match="only one label"):
        load_splits(recipe(), folder)


def test_a_split_that_cannot_be_read_hides_no_problem_of_the_others(folder: Path) -> None:
    write(folder, "dev.jsonl", [*DEV, ("free prize", "spam"), ("hi", "Ham")])
    with pytest.raises(DataError) as caught:
        load_splits(recipe(test="none.jsonl"), folder)
    test, labels, leak = caught.value.problems
    assert test.startswith("test: none.jsonl cannot be read")
    assert labels.endswith("; is 'Ham' meant for 'ham'?")
    assert leak.startswith("train: 1 rows also stand in dev or test")


def test_many_empty_rows_are_told_in_short(folder: Path) -> None:
    write(folder, "dev.jsonl", [*DEV, *[("", "ham")] * 40])
    with pytest.raises(DataError) as caught:
        load_splits(recipe(), folder)
    (problem,) = caught.value.problems
    assert problem.startswith("dev: dev.jsonl: row 3 has no text; row 4 has no text;")
    assert problem.endswith("; and 35 more")


@pytest.mark.parametrize(
    ("train", "held_out", "says"),
    [
        (["spam"] * 20 + ["ham"] * 20 + ["spamm"], {}, ["'spamm' has 1 row and 'spam' 20 rows"]),
        (["spam"] * 5 + ["ham"] * 20 + ["Spam "] * 4, {}, ["'Spam ' has 4 rows and 'spam' 5 rows"]),
        (["spam"] * 9 + ["ham"] * 9 + ["other"], {}, ["'other' has one row"]),
        (["a"] * 2 + ["b"] * 2, {"dev": ["a"], "test": ["a", "b"]}, ["dev: no row has label 'b'"]),
        (["a"] * 2 + ["b"] * 2, {"dev": ["a"], "test": ["a"]}, ["dev and test: no row has label"]),
        (["positive"] * 9 + ["negative"] * 9, {"dev": ["positive", "negative"]}, []),
    ],
)
def test_labels_that_look_like_mistakes(
    train: list[str], held_out: dict[str, list[str]], says: list[str]
) -> None:
    """Issue 18, point 13: a label misspelt in train became one of its own."""
    doubts = suspicious(train, held_out)
    assert len(doubts) == len(says)
    for doubt, part in zip(doubts, says, strict=True):
        assert part in doubt


def test_empty_text_is_named_by_row(folder: Path) -> None:
    write(folder, "dev.jsonl", [*DEV, (" ", "ham")])
    with pytest.raises(DataError, match="row 3 has no text"):
        load_splits(recipe(), folder)


def test_duplicates_across_splits_digits_apart_are_refused_or_dropped(folder: Path) -> None:
    write(folder, "dev.jsonl", [*DEV, ("WIN  cash 99", "spam")])
    with pytest.raises(DataError, match="1 rows also stand in dev or test"):
        load_splits(recipe(), folder)
    splits = load_splits(recipe(on_leak="drop"), folder)
    assert splits.leaks == {"equal": 1, "done": "dropped"}
    allowed = load_splits(recipe(), folder, allow_leak="the source says so")
    assert allowed.leaks == {"equal": 1, "done": "allowed: the source says so"}
    assert len(allowed.train) == len(splits.train) + 1
    assert "win cash 55" not in splits.train.texts


def test_few_draws_so_many_rows_a_label_anew_for_every_seed() -> None:
    split = Split(
        [str(i) for i in range(100)],
        ["spam" if i % 5 == 0 else "ham" for i in range(100)],
        [f"id{i}" for i in range(100)],
    )
    drawn = [split.few(10, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0].texts != drawn[2].texts
    for one in drawn:
        assert Counter(one.labels) == {"ham": 10, "spam": 10}
        assert one.ids == [f"id{t}" for t in one.texts]
    assert Counter(split.few(30, 0).labels) == {"ham": 30, "spam": 20}
    assert split.few(None, 0) is split


def test_a_shared_id_is_a_leak_too(folder: Path) -> None:
    write(folder, "train.jsonl", TRAIN, ids=["a", "b", "c", "d"])
    write(folder, "dev.jsonl", DEV, ids=["d", "e"])
    with pytest.raises(DataError, match="1 rows also stand"):
        load_splits(recipe(id="id"), folder)


def test_a_parent_trained_on_a_translation_of_a_test_row_is_refused(folder: Path) -> None:
    parent = folder / "parent"
    parent.mkdir()
    write(parent, "train.jsonl", TRAIN, ids=["a", "b", "c", "d"])
    write(parent, "dev.jsonl", DEV, ids=["e", "f"])
    (parent / "recipe.yaml").write_text(
        "name: parent\nlanguages: [en]\ndata: {train: train.jsonl, dev: dev.jsonl, id: id}\n"
    )
    write(folder, "train.jsonl", [(f"{t} x", y) for t, y in TRAIN], ids=["g", "h", "i", "j"])
    write(folder, "dev.jsonl", [("otro", "ham")], ids=["a"])
    child = recipe(id="id")
    with pytest.raises(DataError, match="translations of rows that parent parent was trained on"):
        check_parent(
            child, "parent", read_split(parent / "recipe.yaml", "train"), load_splits(child, folder)
        )
    assert read_split(folder / "nowhere.yaml", "train") is None
