import pytest

from polygraft.data.augment import ALTER, Alteration, augmented
from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import folds_of

TEXTS = [
    "Please call me about the great prize",
    "See you tomorrow at the station with mum",
    "Text the word WIN to claim your phone",
    "Thanks for the message that you sent",
    "Before Friday please pay the parcel fee",
    "Are you great at football because we play",
    "Your account and card are blocked, text us",
    "To be at work before nine tomorrow, please",
    "Because you are great: a loan for you",
    "See the doctor with your brother and me",
    "Great coins for you, double them tomorrow",
    "Have you got the keys for the house",
]
ROWS = Split(TEXTS, ["spam", "ham"] * 6, [f"row-{i}" for i in range(12)])


@pytest.mark.parametrize("alteration", ALTER)
def test_every_row_gets_one_copy_that_differs(alteration: Alteration) -> None:
    rows = augmented(ROWS, [alteration], seed=0)
    assert rows.texts[:12] == TEXTS
    assert rows.origins == [*range(12), *range(12)]
    assert rows.labels == ROWS.labels * 2
    assert rows.ids == ROWS.ids * 2
    assert all(a != b for a, b in zip(rows.texts, rows.texts[12:], strict=False))
    assert augmented(ROWS, [alteration], seed=0) == rows


def test_what_each_alteration_does() -> None:
    def copy_of(alteration: Alteration, text: str) -> str:
        return augmented(Split([text], ["spam"], []), [alteration], seed=0).texts[-1]

    assert copy_of("snippets", "Hi mum") == "Hi mum"  # too short to be cut: no copy
    assert copy_of("snippets", TEXTS[0]) in TEXTS[0]
    assert copy_of("links", "WIN now").startswith("WIN now ")
    assert copy_of("capitals", "Win Now") in ("win now", "WIN NOW")
    assert copy_of("spacing", "a prize") == "a p r i z e"
    assert copy_of("short-forms", "Please text you before") == "pls txt u b4"
    altered = copy_of("lookalikes", "a free prize " * 9)
    assert altered != "a free prize " * 9
    assert (
        altered.replace("а", "a")
        .replace("е", "e")
        .replace("с", "c")
        .replace("р", "p")
        .replace("і", "i")
        == "a free prize " * 9
    )


def test_a_row_and_its_copy_are_in_one_fold() -> None:
    rows = augmented(ROWS, ["capitals", "links"], seed=1)
    folds = folds_of(rows)
    assert folds
    for _, held_out in folds:
        assert {rows.origins[i] for i in held_out} == {i for i in held_out if i < 12}


def test_without_alterations_the_rows_are_as_they_were() -> None:
    assert augmented(ROWS, [], seed=0) is ROWS
