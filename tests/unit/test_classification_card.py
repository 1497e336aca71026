"""What a classifier's card, and the end of its training, say of its weaknesses."""

from __future__ import annotations

from typing import Any

from polygraft.tasks.classification.card import ClassificationCard


def interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def told(**others: Any) -> str:
    figures = {"macro_f1": interval(40.0, 30.0, 50.0)}
    metrics = {
        "split": "test",
        "rows": 120,
        "ladder": {"tuned_tfidf": figures, "neural": figures, "adapter": figures},
        "recall": {"negative": 60.0, "positive": 70.0},
        "over_tfidf": interval(4.0, 1.0, 8.0),
        "over_neural": interval(2.0, 1.0, 3.0),
        "calibration": {"before": {"error": 0.129}, "after": {"error": 0.12}},
    }
    return ClassificationCard().figures(metrics | others)


def test_an_adapter_without_weaknesses_is_told_none() -> None:
    said = told()
    assert "Against tuned TF-IDF (paired, macro-F1): 4.0 [1.0, 8.0]." in said
    for weakness in ("neural part alone,", "Worse than", "Hardly ever", "made the scores worse"):
        assert weakness not in said


def test_a_joined_adapter_that_is_worse_than_its_neural_part_says_so() -> None:
    """Issue 18: 37.7, where its neural part alone had 43.5, without a word."""
    said = told(over_neural=interval(-5.8, -9.0, -2.0))
    assert "**Worse than its neural part alone** (paired, macro-F1): -5.8 [-9.0, -2.0]" in said
    assert "`lexical: none`" in said
    may_be_chance = told(over_neural=interval(-5.8, -12.0, 1.0))
    assert "Lower than its neural part alone, which may be chance" in may_be_chance
    assert "`lexical: none`" in may_be_chance


def test_a_label_that_is_hardly_ever_found_is_named() -> None:
    assert "**Hardly ever found: negative.**" in told(recall={"negative": 8.3, "positive": 70.0})


def test_scores_that_joining_made_worse_are_told() -> None:
    worse = {"before": {"error": 0.129}, "after": {"error": 0.191}}
    assert "**Joining the parts made the scores worse**" in told(calibration=worse)
