"""Text classification: a linear head on the mean of the token states, softmax over its labels.

Does not: train (see `training`), or compute metrics (see `evaluate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """`weight` [labels, hidden] and `bias` [labels], float32."""

    weight: Floats
    bias: Floats

    def logits(self, pooled: Floats) -> Floats:
        """[rows, hidden] -> [rows, labels]"""
        out: Floats = pooled @ self.weight.T + self.bias
        return out


@dataclass(frozen=True)
class LabelScore:
    label: str
    score: float


def softmax(logits: Floats) -> Floats:
    """Over the last axis; probabilities that sum to 1."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    out: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return out


def ranked(logits: Floats, labels: Sequence[str], top_k: int | None) -> list[LabelScore]:
    """Labels of one row, likeliest first, at most `top_k`. `logits` is [labels]."""
    scores = softmax(logits)
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [LabelScore(labels[i], float(scores[i])) for i in order]
