"""Whether a classifier's scores are what they say: of the rows with a score of 0.8, 80% should be
right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polygraft.tasks.classification.parts import Join, Parts, softmax

BINS = 10


def calibration(
    gold: Sequence[str], answers: Sequence[str], scores: Sequence[float]
) -> dict[str, Any]:
    """Mean score and share of right answers by score, and the expected calibration error (Guo et
    al. 2017, section 2)."""
    right, score = np.array(gold) == np.array(answers), np.array(scores)
    inside = np.minimum((score * BINS).astype(int), BINS - 1)
    filled = [inside == b for b in range(BINS) if (inside == b).any()]
    bins = [
        {
            "score": round(float(score[b].mean()), 4),
            "right": round(float(right[b].mean()), 4),
            "rows": int(b.sum()),
        }
        for b in filled
    ]
    error = sum(b["rows"] * abs(b["score"] - b["right"]) for b in bins) / len(score)
    return {"bins": bins, "error": round(float(error), 4)}


def before_and_after(
    gold: Sequence[str], parts: Parts, join: Join, labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The calibration of the neural part as it was trained (`before`), and of both parts joined
    (`after`)."""
    figures = {}
    for name, logits in (("before", parts.neural), ("after", parts.joined(join))):
        scores = softmax(logits)
        answers = [labels[i] for i in scores.argmax(axis=1)]
        figures[name] = calibration(gold, answers, scores.max(axis=1).tolist())
    return figures
