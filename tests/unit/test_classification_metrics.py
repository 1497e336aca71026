"""A classifier's metrics, and their intervals and verdicts."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from polygraft.reporting.intervals import Interval, bootstrap, paired_difference
from polygraft.tasks.classification.metrics import label_f1, macro_f1, recall

GOLD = ["a", "b"] * 100


def test_macro_f1_agrees_with_the_definition() -> None:
    predicted = ["a"] * 150 + ["b"] * 50
    by_hand = np.mean([2 * 75 / (150 + 100), 2 * 25 / (50 + 100)]) * 100
    assert macro_f1(np.array(GOLD), np.array(predicted)) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(100 * f1_score(GOLD, predicted, average="macro"))


@pytest.mark.parametrize("seed", range(20))
def test_f1_equals_that_of_scikit_learn(seed: int) -> None:
    """Also for labels that occur on one side only, and for rows given as numbers."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, rng.integers(1, 60))
    predicted = np.where(rng.random(len(gold)) < 0.5, gold, rng.integers(2, 9, len(gold)))
    for ours, theirs in (
        (gold, predicted),
        (np.array([f"label {n}" for n in gold]), np.array([str(n) for n in predicted])),
    ):
        labels = np.unique(ours)
        wanted = f1_score(ours, theirs, average="macro", labels=labels, zero_division=0)
        assert macro_f1(ours, theirs) == pytest.approx(100 * wanted, abs=1e-9)
    for n in map(str, range(10)):
        wanted = f1_score(
            gold.astype(str), predicted.astype(str), average="macro", labels=[n], zero_division=0
        )
        found = label_f1(n)(gold.astype(str), predicted.astype(str))
        assert found == pytest.approx(100 * wanted, abs=1e-9)


def test_bootstrap_brackets_the_figure_and_narrows_with_rows() -> None:
    wrong = [g if i % 7 else "a" for i, g in enumerate(GOLD)]
    small = bootstrap(GOLD[:40], [wrong[:40]], macro_f1)
    large = bootstrap(GOLD, [wrong], macro_f1)
    assert small.low <= small.value <= small.high
    assert large.high - large.low < small.high - small.low


def test_the_same_predictions_differ_by_nothing_and_better_ones_exclude_zero() -> None:
    poor = ["a"] * len(GOLD)
    same = paired_difference(GOLD, [poor], [poor], macro_f1)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = paired_difference(GOLD, [GOLD], [poor], macro_f1)
    assert better.low > 0


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [((2, 1, 3), "helps"), ((-2, -3, -1), "harms"), ((1, -1, 3), "no evidence")],
)
def test_verdict(gain: tuple[float, float, float], verdict: str) -> None:
    assert Interval(*gain).verdict == verdict


def test_recall_is_the_share_of_each_labels_rows() -> None:
    assert recall(["a", "a", "b", "b"], [["a", "b", "b", "b"], ["a", "a", "b", "a"]]) == {
        "a": 75.0,
        "b": 75.0,
    }
