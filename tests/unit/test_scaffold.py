"""What `polygraft new` guesses of a table, and how it cuts one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import yaml

from polygraft.data.leaks import near_equal_groups
from polygraft.errors import DataError
from polygraft.scaffold import columns as guessing
from polygraft.scaffold.language import settle_mistaken
from polygraft.scaffold.splitting import groups_of, split
from polygraft.scaffold.writing import Line, in_data, recipe_text

WORDS = ("river", "stone", "market", "yellow", "garden", "window", "paper", "orange", "silver")


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * place + number // 9 + place) % 9] for place in range(1, 7))


def table(**columns: Any) -> list[dict[str, Any]]:
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


TEXTS = [f"{sentence(i)} {i}" for i in range(40)]


@pytest.mark.parametrize(
    ("rows", "text", "label"),
    [
        (table(message=TEXTS, kind=["spam", "ham"] * 20), "message", "kind"),
        (table(text=TEXTS, spam=["spam", "ham"] * 20), "text", "spam"),
        (table(id=range(40), a=["yes", "no"] * 20, b=TEXTS), "b", "a"),
        (table(country=["ke", "tz"] * 20, label=["a", "b", "c", "d"] * 10, x=TEXTS), "x", "label"),
        (
            table(
                text=[f"{i} {t[:20]}" for i, t in enumerate(TEXTS)], note=TEXTS, label=[0, 1] * 20
            ),
            "text",
            "label",
        ),
        (table(body=TEXTS, stars=[1, 2, 3, 4] * 10, helpful=[1, 0] * 20), "body", "helpful"),
    ],
)
def test_columns_are_guessed(rows: list[dict[str, Any]], text: str, label: str) -> None:
    columns = guessing.columns_of(rows, "t.csv")
    labels = guessing.label_column(columns)
    assert labels.value == label
    assert labels.problem(label) is None
    assert guessing.text_column(columns, labels.value).value == text


def test_a_guess_says_what_else_it_could_be() -> None:
    rows = table(country=["ke", "tz"] * 20, label=["a", "b", "c", "d"] * 10, x=TEXTS)
    guess = guessing.label_column(guessing.columns_of(rows, "t.csv"))
    assert guess.why == ("4 different values, of 1 characters on average; it could also be country")


def test_a_table_of_translations_has_no_labels_and_two_sides() -> None:
    rows = table(n=range(40), english=TEXTS, french=[f"le {t} la" for t in TEXTS])
    columns = guessing.columns_of(rows, "t.csv")
    labels = guessing.label_column(columns)
    assert (labels.value, labels.problem("")) == ("", None)
    assert guessing.sides(columns) == ("english", "french")
    assert guessing.sides(columns[:2]) is None


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no rows"),
        (table(**{"text;label": TEXTS}), "separated by ';'"),
        (table(**{TEXTS[0]: TEXTS[1:], "ham": ["ham"] * 39}), "first line looks like data"),
        (table(**{"x" * 70: TEXTS}), "first line looks like data"),
    ],
)
def test_a_table_that_is_none_is_refused(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        guessing.columns_of(rows, "t.csv")


def test_a_table_without_texts_says_what_it_has() -> None:
    columns = guessing.columns_of(table(a=[1, 2] * 20, b=["x", "y"] * 20), "t.csv")
    guess = guessing.text_column(columns, "a")
    assert guess.value == ""
    assert "b: 2 different values" in str(guess.problem(""))


@pytest.mark.parametrize(
    ("columns", "label", "says"),
    [
        ({"text": TEXTS, "label": ["ham"] * 40}, "label", "one value in all rows, 'ham'; a class"),
        ({"text": TEXTS, "label": ["a", "b"] * 20}, "text", "new value in every row; labels rep"),
        ({"text": TEXTS, "label": ["a", "b"] * 20}, "klass", "no column 'klass', but text, label"),
        ({"text": TEXTS, "number": range(40)}, "", "no column looks like labels"),
    ],
)
def test_what_is_no_column_of_labels_is_told(
    columns: dict[str, Any], label: str, says: str
) -> None:
    guess = guessing.label_column(guessing.columns_of(table(**columns), "t.csv"))
    assert says in str(guess.problem(label))


def test_the_only_label_is_guessed_to_be_told_that_two_are_needed() -> None:
    columns = guessing.columns_of(table(text=TEXTS, label=["ham"] * 40), "t.csv")
    assert guessing.label_column(columns).value == "label"


def test_the_texts_are_not_in_the_column_of_the_labels() -> None:
    columns = guessing.columns_of(table(text=TEXTS, label=["a", "b"] * 20), "t.csv")
    guess = guessing.text_column(columns, "label")
    assert guess.problem("text") is None
    assert "'label' is the column of the labels" in str(guess.problem("label"))


def test_splits_keep_labels_in_proportion_and_near_equal_texts_together() -> None:
    texts = [f"{sentence(i)} number {i}" for i in range(90)]
    copies = [text.upper() for text in texts[::3]]
    rows = [[text] for text in [*texts, *copies]]
    labels = ["spam" if i % 3 == 0 else "ham" for i in range(90)] + ["spam"] * 30
    splits = split(rows, labels, ["dev", "test"], [], seed=0)
    assert splits == split(rows, labels, ["dev", "test"], [], seed=0)
    assert splits != split(rows, labels, ["dev", "test"], [], seed=1)
    assert sorted(i for some in splits.values() for i in some) == list(range(120))
    groups = near_equal_groups(tuple(text for (text,) in rows))
    assert len(set(groups)) < 100, "no copies: the test is void"
    of_split = [{groups[i] for i in some} for some in splits.values()]
    assert sum(map(len, of_split)) == len(set.union(*of_split))
    for name in ("dev", "test"):
        counts = Counter(labels[i] for i in splits[name])
        assert 16 <= counts.total() <= 32
        assert 0.35 <= counts["spam"] / counts.total() <= 0.65


def test_many_rows_hold_out_a_tenth_each() -> None:
    rows = [[f"{sentence(i)} {i} {sentence(i * 7 + 3)}"] for i in range(500)]
    splits = split(rows, ["a", "b"] * 250, ["dev", "test"], [], seed=0)
    assert [len(splits[name]) for name in ("train", "dev", "test")] == pytest.approx(
        [400, 50, 50], abs=12
    )


def test_rows_like_those_that_are_held_out_already_stay_in_train() -> None:
    rows = [[f"{sentence(i)} number {i}"] for i in range(60)]
    given = [[text.upper()] for (text,) in rows[:10]]
    splits = split(rows, ["a", "b"] * 30, ["dev"], given, seed=0)
    assert set(splits) == {"train", "dev"}
    held_out = {g for (g,) in ([text.lower()] for (text,) in given)}
    assert not [i for i in splits["dev"] if rows[i][0].lower() in held_out]


def test_pairs_are_one_group_where_either_side_is_alike() -> None:
    pairs = [["a b c d e", "un deux"], ["A B C D E", "trois"], ["f g h i j", "Trois"], ["k", "l"]]
    groups = groups_of(pairs).tolist()
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"6 are too few to cut dev and test .* 10 are the least"):
        split([[t] for t in TEXTS[:6]], ["a", "b"] * 3, ["dev", "test"], [], seed=0)
    labels = [str(i // 2) for i in range(40)]
    with pytest.raises(DataError, match="the commonest label has 2; 5 are the least"):
        split([[t] for t in TEXTS], labels, ["dev", "test"], [], seed=0)


def test_rows_that_are_all_held_out_already_are_refused_with_the_reason() -> None:
    rows = [[f"{sentence(i)} number {i}"] for i in range(40)]
    with pytest.raises(DataError, match="all 40 stand in the given dev or test too"):
        split(rows, ["a", "b"] * 20, ["dev"], rows, seed=0)


@pytest.mark.parametrize("seed", range(8))
def test_every_label_has_a_row_in_train(seed: int) -> None:
    """A label with one row was drawn into dev, and the recipe refused for it."""
    rows = [[f"{sentence(i)} number {i}"] for i in range(47)]
    labels = [*(["a", "b"] * 20), "c", "d", "e", "e", "f", "f", "g"]
    splits = split(rows, labels, ["dev", "test"], [], seed)
    assert sorted(i for some in splits.values() for i in some) == list(range(47))
    assert {labels[i] for i in splits["train"]} == set(labels)
    assert len(splits["dev"]) >= 6
    assert len(splits["test"]) >= 6


def test_a_written_recipe_is_read_as_it_was_meant() -> None:
    lines = [
        Line("name", "x", "a comment"),
        Line("languages", ["no"]),
        *in_data([Line("train", "a: b#c.csv", "12 rows"), Line("label", "yes")]),
        Line("positive", "1"),
    ]
    text = recipe_text(lines, "A heading")
    assert text.startswith("# A heading\nname: x                        # a comment\n")
    assert yaml.safe_load(text) == {
        "name": "x",
        "languages": ["no"],
        "data": {"train": "a: b#c.csv", "label": "yes"},
        "positive": "1",
    }


@pytest.mark.parametrize(
    ("counts", "named", "doubt"),
    [
        ({"en": 46, "pcm": 48}, {"en": 94}, "; 48 of them look like pcm too"),
        ({"en": 12, "pcm": 82}, {"en": 12, "pcm": 82}, ""),
        ({"pcm": 9}, {"pcm": 9}, ""),
        ({"en": 98}, {"en": 98}, ""),
    ],
)
def test_english_headlines_are_no_pidgin(
    counts: dict[str, int], named: dict[str, int], doubt: str
) -> None:
    found = Counter(counts)
    assert settle_mistaken(found).startswith(doubt)
    assert {code: count for code, count in found.items() if count} == named
