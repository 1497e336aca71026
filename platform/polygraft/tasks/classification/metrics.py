"""Macro-F1, F1 of one label, and right answers by label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from polygraft.reporting.intervals import Labels, Metric


def macro_f1(gold: Labels, predicted: Labels) -> float:
    """Unweighted mean of the labels' F1, over the labels that occur in gold."""
    return 100 * float(
        f1_score(gold, predicted, average="macro", labels=np.unique(gold), zero_division=0)
    )


def label_f1(label: str) -> Metric:
    """F1 of one label."""

    def metric(gold: Labels, predicted: Labels) -> float:
        return 100 * float(
            f1_score(gold, predicted, average="macro", labels=[label], zero_division=0)
        )

    return metric


def recall(gold: Sequence[str], runs: Sequence[Sequence[str]]) -> dict[str, float]:
    """Of the rows of each label, the percentage that got it, mean over the runs."""
    labels = np.asarray(gold)
    right = np.mean([np.asarray(run) == labels for run in runs], axis=0)
    return {
        str(label): round(100 * float(right[labels == label].mean()), 1)
        for label in np.unique(labels)
    }
