"""How much each source row counts beside the target's (a recipe's `source`), judged by the frozen
backbone's vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polygraft.data.splits import Split
from polygraft.tasks.classification.job import ClassificationJob, vectors_of
from polygraft.tasks.classification.joining import Fold, Held, find_join, folds_of, log_loss, places
from polygraft.tasks.classification.parts import Parts
from polygraft.tasks.serving import Floats
from polygraft.training.vectors import Vectors, head_logits, regression, unit

Weights = NDArray[np.float64]
ROUNDS, MOST = 20, 5.0
WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def source_weights(
    job: ClassificationJob, target: Split, lexical: Floats | None = None
) -> Weights | None:
    """A weight for every row of `job.source_rows`, None when there are none; their mean is about
    what the recipe's `source` says. `lexical` is what the lexical part, fitted without them,
    answers to the target's rows: the best weight is that which helps most beside it."""
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
        labels = job.splits.labels
        return shape * best_weight(ours, target, theirs, source, shape, labels, lexical)
    return shape * options.weight


def mean_weight(weights: Weights | None) -> float | None:
    """The figure that a run records about its source rows' weights."""
    return None if weights is None else round(float(weights.mean()), 3)


def best_weight(
    ours: Vectors,
    target: Split,
    theirs: Vectors,
    source: Split,
    shape: Weights,
    labels: Sequence[str],
    lexical: Floats | None = None,
) -> float:
    """That one of `WEIGHTS` by which a head on both, joined to the lexical part where there is
    one, predicts held-out rows of the target best (log loss); the last when a label has but one
    row. Unit vectors [rows, hidden]; `shape` is what the source rows' weights are when their mean
    is about 1."""
    folds = folds_of(target)
    if not folds:
        return WEIGHTS[-1]
    losses = dict[float, float]()
    gold = places(target.labels, labels)
    for weight in WEIGHTS:
        neural = out_of_fold(ours, target, labels, folds, theirs, source, weight * shape)
        held = Held(gold, Parts(neural, lexical))
        losses[weight] = round(log_loss(held, find_join(held)), 3)  # of equals the smaller weight
    return min(losses, key=losses.__getitem__)


def out_of_fold(
    ours: Vectors,
    target: Split,
    labels: Sequence[str],
    folds: Sequence[Fold],
    theirs: Vectors | None = None,
    source: Split | None = None,
    source_row_weights: Weights | None = None,
) -> Floats:
    """Logits [rows, labels] of the target's rows, each by a head that was fitted without its fold,
    beside the source's rows with their weights. Source rows that are translations of a held-out
    row, by id, are held out with it."""
    logits = np.zeros((len(target), len(labels)), np.float32)
    gold = np.array(target.labels)
    for kept, held_out in folds:
        vectors, both, weights = ours[kept], gold[kept], np.ones(len(kept))
        if theirs is not None and source is not None and source_row_weights is not None:
            counts = source_row_weights
            if target.ids and source.ids:
                counts = counts * ~np.isin(source.ids, [target.ids[i] for i in held_out])
            vectors = np.concatenate([vectors, theirs])
            both = np.concatenate([both, source.labels])
            weights = np.concatenate([weights, counts])
        logits[held_out] = head_logits(regression(vectors, both, weights), ours[held_out], labels)
    return logits


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
