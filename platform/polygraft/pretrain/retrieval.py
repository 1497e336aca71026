"""Sentence retrieval: does a sentence's vector lie nearest to its translation's? (LASER, Artetxe &
Schwenk 2019.)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polygraft.training.linear_head import Vectors, unit


def accuracy(sources: Vectors, targets: Vectors, texts: Sequence[str]) -> float:
    """Percent of rows of `sources` [rows, hidden] whose nearest row of `targets` [rows, hidden], by
    cosine, is their own.

    `texts` are the targets' sentences: an equal sentence elsewhere is as right.
    """
    nearest = (unit(sources) @ unit(targets).T).argmax(axis=1)
    right = [texts[own] == texts[found] for own, found in enumerate(nearest)]
    return round(100 * float(np.mean(right)), 1)
