"""Thresholds for what a recipe's `decide` wants, found on rows that neither part of the classifier
was trained on, and how they do on the rows it is scored on.

A target must be shown, not only reached: the one-sided 95% lower bound of the precision or recall
(Clopper & Pearson 1934) is at least what is wanted. Rows that are nearly equal are one campaign and
no independent evidence, so the bound is taken at Kish's effective number of rows, their number
squared over the sum of the squared sizes of their groups (Korn & Graubard 1998, "Confidence
intervals for proportions with small expected number of positive counts estimated from survey
data"). docs/training.md has what that was measured to be worth.

Does not: decide rows (see `serving`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from polygraft.data.leaks import near_equal_groups
from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import Held, places
from polygraft.tasks.classification.manifest import SCORE_DIGITS, Decision, Estimate
from polygraft.tasks.classification.parts import Join, softmax
from polygraft.tasks.classification.recipe import ClassificationRecipe, DecisionRecipe
from polygraft.tasks.classification.run import ClassificationRun

RISK = 0.05  # that what is promised is not so
SHOWN_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdCurve:
    """What each threshold on a label's score does to rows whose labels are known: as many
    thresholds as there are different scores, highest first. `reached` counts the rows that reach
    it, `right` those of them that have the label; `evidence` is the effective number of the rows
    that reach it, `positive_evidence` that of all `positives`."""

    thresholds: Doubles
    reached: Doubles
    right: Doubles
    evidence: Doubles
    rows: int
    positives: int
    positive_evidence: float

    def bounds(self, of: str) -> Doubles:
        """The lower bound of the `precision` or `recall` at each threshold."""
        if of == "precision":
            return _lower(self.right / self.reached, self.evidence)
        everywhere = np.full(len(self.right), self.positive_evidence)
        return _lower(self.right / self.positives, everywhere)

    def at(self, threshold: float) -> tuple[Estimate | None, Estimate | None]:
        """Precision and recall; None where there is no row to tell it by."""
        place = int((self.thresholds >= threshold).sum()) - 1
        right = self.right[place] if place >= 0 else 0.0
        precision = recall = None
        if place >= 0:
            precision = _estimate(right / self.reached[place], self.evidence[place])
        if self.positives:
            recall = _estimate(right / self.positives, self.positive_evidence)
        return precision, recall


def curve_of(
    scores: Doubles, has_label: NDArray[np.bool_], groups: Sequence[int]
) -> ThresholdCurve:
    """`scores` of one label, to as many digits as an answer has; rows of one of the `groups` are
    near-equal."""
    rounded = np.round(scores, SCORE_DIGITS)
    order = np.argsort(-rounded, kind="stable")
    sorted_scores, right = rounded[order], has_label[order]
    sizes, squares = Counter[int](), list[int]()
    for i in order.tolist():
        sizes[groups[i]] += 1
        squares.append(2 * sizes[groups[i]] - 1)  # by so much the square of its size has grown
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))  # of rows with equal scores
    reached = (last + 1).astype(np.float64)
    positives = Counter(group for group, has in zip(groups, has_label, strict=True) if has)
    count = sum(positives.values())
    return ThresholdCurve(
        thresholds=sorted_scores[last],
        reached=reached,
        right=np.cumsum(right)[last].astype(np.float64),
        evidence=reached**2 / np.cumsum(squares)[last],
        rows=len(scores),
        positives=count,
        positive_evidence=count**2 / max(1, sum(size**2 for size in positives.values())),
    )


def find_decision(wanted: DecisionRecipe, curve: ThresholdCurve) -> Decision:
    """With precision: the lowest threshold at which it is shown; with recall: the highest."""
    ((of, share),) = wanted.target.items()
    shown = curve.bounds(of) >= share if curve.positives else np.zeros(0, bool)
    if not shown.any():
        return _without_threshold(wanted, curve.rows, curve.positives, _too_few(of, share, curve))
    at = np.flatnonzero(shown)
    threshold = float(curve.thresholds[at[-1] if of == "precision" else at[0]])
    precision, recall = curve.at(threshold)
    return Decision(
        label=wanted.label,
        target=wanted.target,
        threshold=threshold,
        precision=precision,
        recall=recall,
        rows=curve.rows,
        positives=curve.positives,
    )


def find_decisions(
    recipe: ClassificationRecipe, labels: Sequence[str], run: ClassificationRun
) -> dict[str, Decision]:
    """A decision for each that the recipe names, in its order."""
    if not recipe.decide:
        return {}
    held, why = run.tuning, ""
    if recipe.strategy == "zero-shot":
        held, why = None, "zero-shot: no row of the language or domain it is for was held out"
    elif held is None:
        why = "no row was held out: a label has but one, or dev rows are among the training rows"
    if held is None:
        return {
            name: _without_threshold(wanted, 0, 0, why) for name, wanted in recipe.decide.items()
        }
    curves = _curves(recipe.decide, labels, held, run.join)
    return {name: find_decision(wanted, curves[name]) for name, wanted in recipe.decide.items()}


def check_decisions(
    decisions: Mapping[str, Decision], labels: Sequence[str], run: ClassificationRun, rows: Split
) -> dict[str, dict[str, Any]]:
    """Precision and recall of each decision that has a threshold, on the held-out `rows`."""
    found = {
        name: decision for name, decision in decisions.items() if decision.threshold is not None
    }
    if not found:
        return {}
    held = Held(places(rows.labels, labels), run.held_out, rows.texts)
    curves = _curves(found, labels, held, run.join)
    figures = {}
    for name, decision in found.items():
        assert decision.threshold is not None
        precision, recall = curves[name].at(decision.threshold)
        figures[name] = {
            "precision": precision.model_dump() if precision else None,
            "recall": recall.model_dump() if recall else None,
            "rows": curves[name].rows,
            "positives": curves[name].positives,
        }
    return figures


def precision_recall(
    recipe: ClassificationRecipe, labels: Sequence[str], run: ClassificationRun, rows: Split
) -> dict[str, list[dict[str, float | None]]]:
    """Of the recipe's `positive` label and of those in `decide`: precision, recall and share of the
    held-out `rows` decided, by threshold. Precision is None where no row is decided."""
    asked = dict.fromkeys(decision.label for decision in recipe.decide.values())
    if recipe.positive:
        asked = {recipe.positive: None} | asked
    scores = softmax(run.held_out.joined(run.join).astype(np.float64)).round(SCORE_DIGITS)
    gold, tables = np.array(rows.labels), dict[str, list[dict[str, float | None]]]()
    for label in asked:
        has_label, score = gold == label, scores[:, list(labels).index(label)]
        tables[label] = []
        for threshold in SHOWN_THRESHOLDS:
            decided = score >= threshold
            right = int((decided & has_label).sum())
            tables[label].append(
                {
                    "threshold": threshold,
                    "precision": round(right / decided.sum(), 4) if decided.any() else None,
                    "recall": round(right / has_label.sum(), 4) if has_label.any() else None,
                    "decided": round(float(decided.mean()), 4),
                }
            )
    return tables


def _curves(
    wanted: Mapping[str, DecisionRecipe | Decision], labels: Sequence[str], held: Held, join: Join
) -> dict[str, ThresholdCurve]:
    """By the name of the decision."""
    chances, groups = held.chances(join), near_equal_groups(tuple(held.texts))
    curves = {}
    for name, decision in wanted.items():
        place = list(labels).index(decision.label)
        curves[name] = curve_of(chances[:, place], held.gold == place, groups)
    return curves


def _without_threshold(wanted: DecisionRecipe, rows: int, positives: int, why: str) -> Decision:
    return Decision(
        label=wanted.label,
        target=wanted.target,
        threshold=None,
        rows=rows,
        positives=positives,
        why=why,
    )


def _too_few(of: str, share: float, curve: ThresholdCurve) -> str:
    """Why the rows of `curve` do not show the target."""
    needed = math.ceil(math.log(RISK) / math.log(share))
    if curve.positive_evidence < needed:
        alike = ""
        if round(curve.positive_evidence) < curve.positives:
            alike = f", which count as {curve.positive_evidence:.0f} since some are nearly equal"
        return (
            f"too few rows: to show a {of} of {share:g} takes {needed:,} different rows of the "
            f"label without a mistake; of the {curve.rows:,} held out {curve.positives:,} have "
            f"it{alike}"
        )
    bounds = curve.bounds(of)
    best = int(bounds.argmax())
    return (
        f"not reached: the {of} that the {curve.rows:,} rows held out show is at most "
        f"{bounds[best]:.3f}, at threshold {curve.thresholds[best]:g}"
    )


def _lower(share: Doubles, evidence: Doubles) -> Doubles:
    """The one-sided lower bound of a share that so many independent rows give."""
    right = share * evidence
    bound: Doubles = beta.ppf(RISK, np.maximum(right, 1e-9), evidence - right + 1)
    return np.where(right > 0, bound, 0.0)


def _estimate(share: float, evidence: float) -> Estimate:
    one, rows = np.array([share]), np.array([evidence])
    low, high = float(_lower(one, rows)[0]), 1 - float(_lower(1 - one, rows)[0])
    return Estimate(value=round(float(share), 4), low=round(low, 4), high=round(high, 4))
