"""How much each source row counts beside the target's (a recipe's `source`), judged by the frozen
backbone's vectors."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from polygraft.data.splits import Split
from polygraft.tasks.classification.job import ClassificationJob, vectors_of
from polygraft.training.vectors import Vectors, regression, unit

Weights = NDArray[np.float64]
ROUNDS, MOST = 20, 5.0
WEIGHTS, FOLDS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0), 5


def source_weights(job: ClassificationJob, target: Split) -> Weights | None:
    """A weight for every row of `job.source_rows`, None when there are none; their mean is about
    what the recipe's `source` says."""
    source, options = job.source_rows, job.recipe.source
    if source is None or options is None:
        return None
    if options.by == "even" and options.weight != "auto":
        return np.full(len(source), options.weight)  # nothing is asked of the vectors
    ours, theirs = (unit(vectors_of(job, rows.texts)) for rows in (target, source))
    raw = np.ones(len(source))
    if options.by == "domain":
        raw = domain(ours, theirs)
    elif options.by == "boosting":
        raw = boosting(ours, target.labels, theirs, source.labels)
    shape: Weights = np.minimum(raw / raw.mean(), MOST)
    if options.weight == "auto":
        return shape * best_weight(ours, target, theirs, source, shape)
    return shape * options.weight


def mean_weight(weights: Weights | None) -> float | None:
    """The figure that a run records about its source rows' weights."""
    return None if weights is None else round(float(weights.mean()), 3)


def best_weight(
    ours: Vectors, target: Split, theirs: Vectors, source: Split, shape: Weights
) -> float:
    """That one of `WEIGHTS` by which a head on both predicts held-out fifths of the target's rows
    best (log loss); the last when a label has but one row. Source rows that are translations of a
    held-out row, by id, are held out with it. Unit vectors [rows, hidden]; `shape` is what the
    source rows' weights are when their mean is about 1."""
    gold, labels = np.array(target.labels), sorted({*target.labels, *source.labels})
    counts = Counter(target.labels).values()
    folds = min(FOLDS, *counts)
    if folds < 2 or len(counts) < 2:
        return WEIGHTS[-1]
    losses = dict.fromkeys(WEIGHTS, 0.0)
    for kept, held_out in StratifiedKFold(folds, shuffle=True, random_state=0).split(ours, gold):
        translated = (
            np.isin(source.ids, [target.ids[i] for i in held_out])
            if target.ids and source.ids
            else np.zeros(len(source))
        )
        vectors = np.concatenate([ours[kept], theirs])
        both_labels = np.concatenate([gold[kept], source.labels])
        for weight in WEIGHTS:
            source_row_weights = weight * shape * (1 - translated)
            row_weights = np.concatenate([np.ones(len(kept)), source_row_weights])
            head = regression(vectors, both_labels, row_weights)
            chances = np.zeros((len(held_out), len(labels)), np.float32)
            chances[:, np.searchsorted(labels, head.classes_)] = head.predict_proba(ours[held_out])
            losses[weight] += len(held_out) * log_loss(gold[held_out], chances, labels=labels)
    return min(losses, key=losses.__getitem__)


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
