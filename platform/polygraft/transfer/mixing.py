"""How much each source row counts beside the target's (a recipe's `source`), judged by the frozen
backbone's vectors; and heads on both, fitted fold by fold. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polygraft.tasks.classification.joining import (
    Fold,
    Held,
    Places,
    find_join,
    log_loss,
    places,
)
from polygraft.tasks.classification.parts import Parts
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import Vectors, head_logits, regression, unit
from polygraft.training.threads import on_one_thread

Weights = NDArray[np.float64]
ROUNDS, MOST = 20, 5.0
NEAR = 0.9
"""Cosine from which two texts count as near-equal. Of pairs that `data.leaks` finds near-equal it
finds 87% on Swahili spam, all on English; of other rows, 2% have such a neighbour (English spam,
news), 19% where messages are made from templates (Swahili spam)."""
WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Beside:
    """Source rows beside the target's, with what each counts. `held_out_with[i]` are the places of
    those that are held out with the target's row `i`; empty: none is held out with any."""

    rows: SharedVectors
    weights: Weights
    held_out_with: Sequence[Places] = ()

    def without(self, held_out: Places) -> Weights:
        """The weights when these target rows are held out."""
        weights = self.weights.copy()
        for i in held_out if self.held_out_with else ():
            weights[self.held_out_with[i]] = 0
        return weights


def twins(ids: Sequence[str], vectors: Vectors, source: SharedVectors) -> list[Places]:
    """For each target row [rows, hidden], the places of the source rows that must not be learnt
    from while it is held out: translations, which have the same id (where both have ids), and
    near-equal texts, whose vectors are."""
    alike = unit(vectors) @ unit(source.vectors).T >= NEAR
    if ids and len(source.ids):
        alike |= id_hashes(ids)[:, None] == source.ids
    return [np.flatnonzero(row) for row in alike]


def row_weights(by: str, ours: Vectors, gold: list[str], source: SharedVectors) -> Weights:
    """What the source rows count among each other, by the rule `by`; their mean is about 1. Unit
    vectors [rows, hidden]."""
    raw = np.ones(len(source))
    if by == "domain":
        raw = domain(ours, source.vectors)
    elif by == "boosting":
        raw = boosting(ours, gold, source.vectors, source.labels)
    shape: Weights = np.minimum(raw / raw.mean(), MOST)
    return shape


def best_weight(
    ours: Vectors,
    gold: Sequence[str],
    labels: Sequence[str],
    folds: Sequence[Fold],
    beside: Beside,
    lexical: Floats | None = None,
) -> float:
    """That one of `WEIGHTS` by which a head on both, joined to the lexical part where there is
    one, predicts held-out rows of the target best (log loss); the last when there are no folds, a
    label having but one row. Unit vectors [rows, hidden]; the weights in `beside` are what the
    source rows count when their mean is about 1."""
    if not folds:
        return WEIGHTS[-1]
    losses = dict[float, float]()
    right = places(gold, labels)
    for weight, neural in out_of_fold_by_weight(ours, gold, labels, folds, beside).items():
        held = Held(right, Parts(neural, lexical))
        losses[weight] = round(log_loss(held, find_join(held)), 3)  # of equals the smaller weight
    return min(losses, key=losses.__getitem__)


def out_of_fold_by_weight(
    ours: Vectors,
    gold: Sequence[str],
    labels: Sequence[str],
    folds: Sequence[Fold],
    beside: Beside,
) -> dict[float, Floats]:
    """`out_of_fold` for each of `WEIGHTS`. Of a fold, each fit starts where that of the next
    smaller weight ended, and takes half as long as from nothing."""
    logits = {weight: np.zeros((len(gold), len(labels)), np.float32) for weight in WEIGHTS}
    for kept, held_out in folds:
        head = None
        shape = beside.without(held_out)
        for weight in WEIGHTS:
            head = _head(ours, gold, kept, beside.rows, weight * shape, head)
            logits[weight][held_out] = head_logits(head, ours[held_out], labels)
    return logits


def out_of_fold(
    ours: Vectors,
    gold: Sequence[str],
    labels: Sequence[str],
    folds: Sequence[Fold],
    beside: Beside | None = None,
) -> Floats:
    """Logits [rows, labels] of the target's rows, each by a head that was fitted without its fold,
    beside the source's rows with their weights."""
    logits = np.zeros((len(gold), len(labels)), np.float32)
    for kept, held_out in folds:
        source, weights = (beside.rows, beside.without(held_out)) if beside else (None, np.zeros(0))
        head = _head(ours, gold, kept, source, weights)
        logits[held_out] = head_logits(head, ours[held_out], labels)
    return logits


def _head(
    ours: Vectors,
    gold: Sequence[str],
    kept: Places,
    source: SharedVectors | None,
    weights: Weights,
    start: LogisticRegression | None = None,
) -> LogisticRegression:
    """A head on the target's rows at the places `kept` and on the source's with their weights;
    `start` is one from whose solution it goes on."""
    vectors, both = ours[kept], [gold[i] for i in kept]
    if source is None or not weights.any():
        return regression(vectors, both)
    counts = np.concatenate([np.ones(len(kept)), weights])
    vectors = np.concatenate([vectors, source.vectors])
    return regression(vectors, both + source.labels, counts, start)


@on_one_thread
def domain(target: Vectors, source: Vectors) -> Weights:
    """The odds that a source row is one of the target's, by a classifier of the two (Jiang & Zhai
    2007, "Instance Weighting for Domain Adaptation in NLP", section 3.2; the ratio of densities by
    Bickel et al. 2009). Unit vectors [rows, hidden]."""
    classifier = LogisticRegression(max_iter=2000, class_weight="balanced")
    classifier.fit(np.concatenate([target, source]), [1] * len(target) + [0] * len(source))
    odds: Weights = np.exp(classifier.decision_function(source))
    return odds


def boosting(
    target: Vectors, target_labels: list[str], source: Vectors, source_labels: list[str]
) -> Weights:
    """Rounds in which source rows that a head on both gets wrong lose weight and target rows gain
    it (Dai et al. 2007, "Boosting for Transfer Learning", TrAdaBoost, figure 1); the source rows'
    weights at the end."""
    vectors = np.concatenate([target, source])
    labels, weights = np.array(target_labels + source_labels), np.ones(len(vectors))
    ours = np.arange(len(vectors)) < len(target)
    shrink = 1 / (1 + np.sqrt(2 * np.log(len(source)) / ROUNDS))
    for _ in range(ROUNDS):
        head = regression(vectors, labels, weights / weights.mean())
        wrong = head.predict(vectors) != labels
        error = min(0.49, float(weights[ours & wrong].sum() / weights[ours].sum()))
        weights[~ours & wrong] *= shrink
        if error > 0:
            weights[ours & wrong] *= (1 - error) / error
    source_row_weights: Weights = weights[~ours] / weights[~ours].max()
    return source_row_weights
