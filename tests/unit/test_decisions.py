"""Thresholds on constructed scores, folds that keep near-equal rows together, what a manifest may
say of decisions, and what a recipe may ask (issue 17)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.data.splits import Split
from polygraft.errors import AdapterError, DataError, InvalidRow, RecipeError
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.calibration import before_and_after
from polygraft.tasks.classification.data import load_splits
from polygraft.tasks.classification.deciding import ThresholdCurve, curve_of, find_decision
from polygraft.tasks.classification.joining import folds_of
from polygraft.tasks.classification.manifest import ClassificationManifest, Decision
from polygraft.tasks.classification.parts import Join, Parts, softmax
from polygraft.tasks.classification.recipe import ClassificationRecipe, DecisionRecipe
from polygraft.tasks.classification.serving import decided
from polygraft.tasks.recipe import load_recipe


def curve(
    scores: list[float], has_label: list[bool], groups: list[int] | None = None
) -> ThresholdCurve:
    apart = list(range(len(scores)))
    return curve_of(np.array(scores), np.array(has_label), groups or apart)


def wanted(**target: float) -> DecisionRecipe:
    return DecisionRecipe.model_validate({"label": "spam", **target})


def separated(right: int, wrong: int) -> ThresholdCurve:
    """`right` rows of the label with high scores, all different, then `wrong` others."""
    scores = np.linspace(0.99, 0.5, right).tolist() + np.linspace(0.4, 0.1, wrong).tolist()
    return curve(scores, [True] * right + [False] * wrong)


def test_precision_takes_the_lowest_threshold_that_shows_it_recall_the_highest() -> None:
    rows = separated(100, 100)
    precise, complete = (
        find_decision(wanted(precision=0.9), rows),
        find_decision(wanted(recall=0.9), rows),
    )
    assert precise.threshold is not None
    assert complete.threshold is not None

    def lower(right: int, of: int) -> float:
        test = binomtest(right, of, alternative="greater").proportion_ci(0.95, method="exact")
        return float(test.low)

    decided_rows = int((rows.thresholds >= precise.threshold).sum())
    assert lower(100, decided_rows) >= 0.9 > lower(100, decided_rows + 1)
    found = int((rows.thresholds >= complete.threshold).sum())
    assert lower(found, 100) >= 0.9 > lower(found - 1, 100)
    assert precise.precision is not None
    assert precise.precision.low == pytest.approx(lower(100, decided_rows), abs=1e-4)
    assert precise.target == {"precision": 0.9}
    assert (precise.rows, precise.positives, precise.why) == (200, 100, None)


def test_rows_of_the_same_score_are_decided_together() -> None:
    """Half of the 200 rows at 0.8 have the label: no threshold can take the right ones alone."""
    rows = curve([0.9] * 60 + [0.8] * 200, [True] * 60 + [True, False] * 100)
    assert rows.thresholds.tolist() == [0.9, 0.8]
    assert rows.reached.tolist() == [60, 260]
    assert find_decision(wanted(precision=0.95), rows).threshold == 0.9
    shuffled = np.random.default_rng(0).permutation(260)
    again = curve(
        [([0.9] * 60 + [0.8] * 200)[i] for i in shuffled],
        [([True] * 60 + [True, False] * 100)[i] for i in shuffled],
    )
    assert again.right.tolist() == rows.right.tolist()


def test_scores_that_an_answer_shows_alike_are_alike() -> None:
    assert curve([0.1234561, 0.1234563], [True, False]).thresholds.tolist() == [0.123456]


@pytest.mark.parametrize(
    ("target", "right", "why"),
    [
        ({"precision": 0.99}, 298, "takes 299 different rows"),
        ({"recall": 0.95}, 58, "takes 59 different rows"),
        ({"precision": 0.5}, 1, "of the 301 held out 1 have it"),
        ({"precision": 0.5}, 0, "of the 300 held out 0 have it"),
        ({"recall": 0.5}, 0, "of the 300 held out 0 have it"),
    ],
)
def test_a_target_that_the_rows_are_too_few_for_has_no_threshold(
    target: dict[str, float], right: int, why: str
) -> None:
    decision = find_decision(wanted(**target), separated(right, 300))
    assert decision.threshold is None
    assert decision.precision is None
    assert decision.recall is None
    assert decision.why is not None
    assert "too few rows" in decision.why
    assert why in decision.why
    if right > 1:
        assert find_decision(wanted(**target), separated(right + 1, 300)).threshold is not None


def test_a_precision_that_is_never_reached_has_no_threshold() -> None:
    rows = curve(np.linspace(1, 0, 400).tolist(), [True, False] * 200)
    decision = find_decision(wanted(precision=0.9), rows)
    assert decision.threshold is None
    assert decision.why is not None
    assert decision.why.startswith("not reached: the precision")


def test_near_equal_rows_are_no_further_evidence() -> None:
    """300 copies of one message show as much as one message, 100 groups of 3 as much as 100."""
    scores, right = [0.9] * 300, [True] * 300
    assert find_decision(wanted(precision=0.9), curve(scores, right)).threshold == 0.9
    copies = find_decision(wanted(precision=0.9), curve(scores, right, [0] * 300))
    assert copies.threshold is None
    assert copies.why is not None
    assert "300 have it, which count as 1 since" in copies.why
    threes = curve(scores, right, [i // 3 for i in range(300)])
    assert threes.evidence[-1] == pytest.approx(100)
    assert threes.positive_evidence == pytest.approx(100)


def test_near_equal_rows_stay_in_one_fold() -> None:
    """A row whose twin was trained on was answered too well: folds were drawn row by row, and of
    the Swahili spam that a threshold was to find nine tenths of, seven were found."""
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
    words += ["golf", "hotel", "india", "juliet", "kilo", "lima"]
    texts = [
        f"{word} {word[::-1]} dear customer your {word} number {digit} has won"
        for word in words
        for digit in range(5)
    ]
    labels = ["spam" if i // 5 % 2 else "ham" for i in range(len(texts))]
    folds = folds_of(Split(texts, labels, []))
    assert len(folds) == 5
    for kept, held_out in folds:
        assert not {texts[i].split()[0] for i in kept} & {texts[i].split()[0] for i in held_out}
        assert {labels[i] for i in held_out} == {"spam", "ham"}
    assert sorted(i for _, held_out in folds for i in held_out) == list(range(len(texts)))
    assert folds_of(Split(texts[:10], labels[:10], [])) == [], "a group each: nothing to hold out"


def test_calibration_before_is_of_the_neural_part_alone() -> None:
    """An overconfident neural part, made calm by its weight: the answers stay, the error falls."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=2000)
    is_spam = 1 / (1 + np.exp(-logit)) > rng.random(2000)
    gold = np.where(is_spam, "spam", "ham").tolist()
    neural = np.stack([np.zeros(2000), 8 * logit], axis=1).astype(np.float32)
    figures = before_and_after(gold, Parts(neural), Join(1 / 8, 0), ["ham", "spam"])
    assert figures["before"]["error"] > 0.15
    assert figures["after"]["error"] < 0.05
    assert sum(b["rows"] for b in figures["after"]["bins"]) == 2000


SPAM = np.array([0.2, 0.8], np.float32)


def decision_at(threshold: float | None, label: str = "spam") -> Decision:
    return Decision.model_construct(label=label, threshold=threshold)


def test_the_first_decision_that_is_reached_is_taken() -> None:
    decisions = {
        "none": decision_at(None),
        "block": decision_at(0.9),
        "review": decision_at(0.8),
        "keep": decision_at(0.1, "ham"),
    }
    labels = ["ham", "spam"]
    assert decided(SPAM, labels, decisions, None) == "review", "0.8 in float32 is above 0.8"
    assert decided(SPAM[::-1], labels, decisions, None) == "keep"
    assert decided(np.array([0.05, 0.7], np.float32), labels, decisions, None) is None
    assert decided(SPAM, labels, {}, None) is None


def test_a_rows_own_threshold_is_for_the_likeliest_label() -> None:
    decisions = {"keep": decision_at(0.1, "ham")}
    assert decided(SPAM, ["ham", "spam"], decisions, 0.8) == "spam"
    assert decided(SPAM, ["ham", "spam"], decisions, 0.81) is None
    assert decided(SPAM, ["ham", "spam"], decisions, 0.0) == "spam"


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_row_refuses_a_threshold_that_is_no_score(threshold: float) -> None:
    with pytest.raises(InvalidRow, match="a score lies within 0 and 1"):
        Row("spam", "x", threshold=threshold)


ESTIMATE = {"value": 0.99, "low": 0.98, "high": 1.0}
GOOD: dict[str, Any] = {
    "label": "spam",
    "target": {"precision": 0.98},
    "threshold": 0.9,
    "precision": ESTIMATE,
    "recall": ESTIMATE,
    "rows": 1000,
    "positives": 400,
}
WITHOUT = {"threshold": None, "precision": None, "recall": None}


@pytest.fixture
def folder(make_adapter: Callable[..., Path], tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "spam")


def with_decide(folder: Path, decide: Any) -> None:
    file = folder / LAYOUT.manifest
    manifest = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(manifest | {"decide": decide}), encoding="utf-8")


def test_a_manifest_without_decisions_loads_and_they_are_no_part_of_the_version(
    folder: Path,
) -> None:
    file = folder / LAYOUT.manifest
    manifest = json.loads(file.read_text(encoding="utf-8"))
    del manifest["decide"]
    file.write_text(json.dumps(manifest), encoding="utf-8")
    old = load_manifest(folder, ClassificationManifest)
    assert old.decide == {}
    with_decide(folder, {"z": GOOD, "a": GOOD | WITHOUT | {"why": "too few rows"}})
    new = load_adapter(folder).manifest
    assert list(new.decide) == ["z", "a"], "in the recipe's order"
    assert new.version == old.version


@pytest.mark.parametrize(
    ("decide", "told"),
    [
        ({"a": GOOD | {"threshold": float("nan")}}, "decide.a.threshold"),
        ({"a": GOOD | {"threshold": 2}}, "decide.a.threshold"),
        ({"a": GOOD | {"threshold": -1e-9}}, "decide.a.threshold"),
        ({"a": GOOD | {"label": "eggs"}}, "decide.a: 'eggs' is not one of its labels"),
        ({"a": GOOD | {"target": {"precision": 1}}}, "decide.a.target.precision"),
        ({"a": GOOD | {"target": {}}}, "decide.a.target"),
        ({"a": GOOD | {"target": {"precision": 0.9, "recall": 0.9}}}, "decide.a.target"),
        ({"a": GOOD | {"target": {"f1": 0.9}}}, "decide.a.target"),
        ({"a": GOOD | {"precision": ESTIMATE | {"low": float("inf")}}}, "decide.a.precision.low"),
        ({"a": GOOD | {"recall": ESTIMATE | {"low": 0.995}}}, "outside its own bounds"),
        ({"a": GOOD | {"positives": 1001}}, "1,001 of 1,000 rows"),
        ({"a": GOOD | {"rows": -1}}, "decide.a.rows"),
        ({"a": GOOD | {"recall": None}}, "with a threshold it has precision and recall"),
        ({"a": GOOD | WITHOUT}, "without a threshold it says why"),
        ({"a": GOOD | WITHOUT | {"why": "y" * 501}}, "decide.a.why"),
        ({"a": GOOD | {"more": 1}}, "decide.a.more"),
        ({"../a": GOOD}, "'../a' is not the name of a decision"),
        ({"a" * 100_000: GOOD}, "(100,000 characters)"),
        ({f"d{i}": GOOD for i in range(10_000)}, "at most 100 items"),
        ({f"d{i}": {} for i in range(10_000)}, "decide"),
        ([GOOD], "decide"),
    ],
)
def test_a_manifest_with_bad_decisions_is_refused_shortly(
    folder: Path, decide: Any, told: str
) -> None:
    with_decide(folder, decide)
    started = time.perf_counter()
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder)
    assert time.perf_counter() - started < 2
    assert told in str(caught.value)
    assert len(str(caught.value)) < 2_500


def recipe(folder: Path, decide: str, labels: str = "labels: [ham, spam]\n") -> Path:
    file = folder / "recipe.yaml"
    file.write_text(
        f"name: x\nlanguages: [en]\n{labels}data: {{train: t.jsonl, dev: d.jsonl}}\n"
        f"decide: {decide}\n"
    )
    return file


def test_a_recipe_keeps_the_order_of_its_decisions(tmp_path: Path) -> None:
    file = recipe(
        tmp_path, "{review: {label: spam, recall: 0.95}, block: {label: spam, precision: 0.99}}"
    )
    loaded = load_recipe(file)
    assert isinstance(loaded, ClassificationRecipe)
    targets = {name: decision.target for name, decision in loaded.decide.items()}
    assert list(targets.items()) == [("review", {"recall": 0.95}), ("block", {"precision": 0.99})]


@pytest.mark.parametrize(
    ("decide", "told"),
    [
        ("{a: {label: spam}}", "exactly one of them; neither is given"),
        ("{a: {label: spam, precision: 0.9, recall: 0.9}}", "exactly one of them; both is given"),
        ("{a: {label: spam, precision: 1}}", "decide.a.precision"),
        ("{a: {label: spam, recall: 0}}", "decide.a.recall"),
        ("{a: {label: spam, recall: .nan}}", "decide.a.recall"),
        ("{a: {label: eggs, recall: 0.9}}", "decide.a: 'eggs' is not among labels"),
        ("{a: {recall: 0.9}}", "decide.a.label"),
        ("{a: 0.9}", "decide.a"),
        ("{A b: {label: spam, recall: 0.9}}", "decide: 'A b' is not a name"),
    ],
)
def test_a_recipe_with_a_bad_decision_is_refused(tmp_path: Path, decide: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe(tmp_path, decide))
    assert told in "\n".join(caught.value.problems)


def test_a_decision_for_a_label_that_no_row_has_is_refused(tmp_path: Path) -> None:
    rows = "".join(
        json.dumps({"text": f"{word} one two", "label": label}) + "\n"
        for word, label in (("hello", "ham"), ("prize", "spam"))
    )
    for name in ("t", "d"):
        (tmp_path / f"{name}.jsonl").write_text(rows.replace("one", name))
    loaded = load_recipe(recipe(tmp_path, "{a: {label: eggs, recall: 0.9}}", labels=""))
    assert isinstance(loaded, ClassificationRecipe)
    with pytest.raises(DataError, match=r"decide\.a: no training row has the label 'eggs'"):
        load_splits(loaded, tmp_path)


def test_softmax_scores_are_compared_as_they_are_shown() -> None:
    """A score of 0.9999997 is shown as 1.0, and reaches a threshold of 1."""
    scores = softmax(np.array([0.0, 15.0], np.float32))
    assert scores[1] < 1
    assert decided(scores, ["ham", "spam"], {}, 1.0) == "spam"
