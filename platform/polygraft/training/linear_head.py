"""The linear head on sentence vectors: logistic regression. Without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polygraft.training.threads import on_one_thread

Vectors = NDArray[np.float32]
UNSEEN = -10.0  # bias of a label that no row has


def unit(vectors: Vectors) -> Vectors:
    """Each row of [rows, hidden] at length 1."""
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


@on_one_thread
def regression(
    vectors: Vectors,
    labels: Sequence[str] | NDArray[np.str_],
    weights: NDArray[np.float64] | None = None,
    start: LogisticRegression | None = None,
) -> LogisticRegression:
    """Logistic regression on vectors [rows, hidden], the linear head of every baseline that has
    one. Rows of weight 0 are left out, and so is a label that only they have. `start` is a
    regression of the same labels whose solution is near: it is fitted again from there, which is
    faster."""
    counts = np.ones(len(vectors), bool) if weights is None else weights > 0
    gold = np.array(labels)[counts]
    if start is not None and set(start.classes_) == set(gold):
        head = start.set_params(warm_start=True)
    else:
        head = LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
    return head.fit(
        vectors[counts], gold, sample_weight=None if weights is None else weights[counts]
    )


def head_weights(
    head: LogisticRegression, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A regression's weight [labels, hidden] and bias [labels] for `labels`; those that no row had
    get `UNSEEN` as their bias."""
    weight, bias = head.coef_, head.intercept_
    if len(head.classes_) == 2:  # scikit-learn keeps one row for both
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    all_weights = np.zeros((len(labels), weight.shape[1]))
    all_biases = np.full(len(labels), UNSEEN)
    rows = [list(labels).index(label) for label in head.classes_]
    all_weights[rows], all_biases[rows] = weight, bias
    return all_weights, all_biases


def head_logits(head: LogisticRegression, vectors: Vectors, labels: Sequence[str]) -> Vectors:
    """[rows, labels]"""
    weight, bias = head_weights(head, labels)
    logits: Vectors = (vectors @ weight.T + bias).astype(np.float32)
    return logits
