"""Tests that are too small to tell how good an adapter is, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest

from polygraft.data.small_tests import least_share, small_test
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification.card import ClassificationCard


@pytest.mark.parametrize(("rows", "least"), [(1, 2.5), (4, 39.8), (30, 88.4), (200, 98.2)])
def test_the_least_share_is_that_of_the_exact_interval(rows: int, least: float) -> None:
    assert least_share(rows) == pytest.approx(least, abs=0.05)


def test_only_a_small_test_is_told_of() -> None:
    assert "test has 4 rows, too few to tell" in small_test(4)[0]
    assert "as low as 40%" in small_test(4)[0]
    assert "has no rows" in small_test(0)[0]
    assert small_test(30) == []


def test_rows_that_are_all_right_do_not_make_certain() -> None:
    """Four rows, all right, had the interval [100, 100]."""

    def accuracy(gold: np.ndarray, answers: np.ndarray) -> float:
        return 100 * float(np.mean(gold == answers))

    gold = ["spam", "ham", "spam", "ham"]
    assert str(bootstrap(gold, [gold], accuracy)) == "100.0 [39.8, 100.0]"
    assert bootstrap(gold, [["spam", "ham", "spam", "spam"]], accuracy).value == 75


@pytest.mark.parametrize(("rows", "certain"), [(4, False), (40, True)])
def test_the_card_says_that_a_test_is_too_small(rows: int, certain: bool) -> None:
    figure = {"value": 100.0, "low": 100.0, "high": 100.0}
    share = {"threshold": 0.5, "precision": 1.0, "recall": 1.0, "decided": 1.0}
    metrics = {
        "split": "test",
        "rows": rows,
        "ladder": {"adapter": {"macro_f1": figure}},
        "over_tfidf": figure,
        "precision_recall": {"spam": [share]},
    }
    told = ClassificationCard().figures(metrics)
    assert ("The test split has 4 rows, too few to tell" in told) is not certain
    assert ("score of at least" in told) is certain
