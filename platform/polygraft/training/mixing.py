"""How much each source row counts beside the target's (a recipe's `source`), judged by the frozen backbone's vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polygraft.backbone import load_backbone
from polygraft.data import Split
from polygraft.training.job import Job, encoder_of
from polygraft.training.vectors import Vectors, regression, sentence_vectors

Weights = NDArray[np.float64]
ROUNDS, MOST = 20, 5.0


def source_weights(job: Job, target: Split) -> Weights:
    """A weight for every row of `job.source_rows`; their mean is what the recipe says."""
    source, chosen = job.source_rows, job.recipe.source
    assert source is not None
    assert chosen is not None
    if chosen.by == "even":
        return np.full(len(source), chosen.weight)
    body, encoder = load_backbone(job.backbone), encoder_of(job)
    ours, theirs = (sentence_vectors(body, encoder, rows.texts) for rows in (target, source))
    raw = domain(ours, theirs) if chosen.by == "domain" else boosting(ours, target.labels, theirs, source.labels)
    weights: Weights = np.minimum(raw / raw.mean(), MOST) * chosen.weight
    return weights


def domain(target: Vectors, source: Vectors) -> Weights:
    """The odds that a source row is one of the target's, by a classifier of the two (Jiang & Zhai 2007, "Instance Weighting for
    Domain Adaptation in NLP", section 3.2; the ratio of densities by Bickel et al. 2009). Unit vectors [rows, hidden]."""
    classifier = LogisticRegression(max_iter=2000, class_weight="balanced")
    classifier.fit(np.concatenate([target, source]), [1] * len(target) + [0] * len(source))
    odds: Weights = np.exp(classifier.decision_function(source))
    return odds


def boosting(target: Vectors, target_labels: list[str], source: Vectors, source_labels: list[str]) -> Weights:
    """Rounds in which source rows that a head on both gets wrong lose weight and target rows gain it (Dai et al. 2007,
    "Boosting for Transfer Learning", TrAdaBoost, figure 1); the source rows' weights at the end."""
    vectors = np.concatenate([target, source])
    labels, weights = np.array(target_labels + source_labels), np.ones(len(vectors))
    ours = np.arange(len(vectors)) < len(target)
    shrink = 1 / (1 + np.sqrt(2 * np.log(len(source)) / ROUNDS))
    for _ in range(ROUNDS):
        head = regression().fit(vectors, labels, sample_weight=weights / weights.mean())
        wrong = head.predict(vectors) != labels
        error = min(0.49, float(weights[ours & wrong].sum() / weights[ours].sum()))
        weights[~ours & wrong] *= shrink
        if error > 0:
            weights[ours & wrong] *= (1 - error) / error
    left: Weights = weights[~ours] / weights[~ours].max()
    return left
