"""Labels of another adapter as a recipe names them."""

from __future__ import annotations

import pytest
import yaml

from polygraft.tasks.classification.label_map import as_line, guess, map_problems, own_names, partly

NEWS = ["business", "health", "politics", "sports", "technology"]


@pytest.mark.parametrize(
    ("labels", "theirs", "renamed"),
    [
        (["health", "sports"], NEWS, {}),
        (["Health", "sport"], NEWS, {"Health": "health", "sport": "sports"}),
        (["Sports", "sports"], NEWS, None),
        (
            ["Business", "Sport", "tech"],
            NEWS,
            {
                "Business": "business",
                "Sport": "sports",
                "tech": "technology",
            },
        ),
        (["health", "weather"], NEWS, None),
        (["ham", "spam"], ["ham", "spam"], {}),
        (["ham", "scam"], ["ham", "spam"], None),
        (["ham", "hams"], ["ham", "spam"], None),
    ],
)
def test_a_map_is_guessed_where_every_label_has_one_of_its_own(
    labels: list[str], theirs: list[str], renamed: dict[str, str] | None
) -> None:
    assert guess(labels, theirs) == renamed


def test_names_are_the_recipes() -> None:
    names = own_names(["ham", "bad"], {"bad": ["spam", "scam"]})
    assert names == {"ham": "ham", "spam": "bad", "scam": "bad"}


@pytest.mark.parametrize(
    ("renamed", "problem"),
    [
        ({"bad": "spam"}, None),
        ({"worse": "spam"}, "'worse' is not a label of this recipe"),
        ({"bad": "spma"}, "'spma' is not one of its labels"),
        ({"bad": "ham"}, "'ham' is the name of two labels"),
        ({"bad": ["spam", "spam"]}, "'spam' is the name of two labels"),
    ],
)
def test_what_is_wrong_with_a_map_is_told(
    renamed: dict[str, str | list[str]], problem: str | None
) -> None:
    problems = map_problems(["ham", "bad"], ["ham", "spam"], renamed)
    assert len(problems) == (problem is not None)
    assert all(str(problem) in one for one in problems)


def test_what_is_missing_and_the_line_that_would_say_it() -> None:
    """Issue 18: SPAM and OK were matched with nothing, without a word."""
    assert partly(["OK", "SPAM"], ["ham", "spam"]) == ({"SPAM": "spam"}, ["OK"])
    line = as_line("spam-en", {"yes": "spam", "no": "ham"})
    assert line == "source: {adapter: spam-en, labels: {'yes': spam, 'no': ham}}"
    assert yaml.safe_load(line)["source"]["labels"] == {"yes": "spam", "no": "ham"}
