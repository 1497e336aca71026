"""Sentence retrieval: does a sentence's vector lie nearest to its translation's? (LASER, Artetxe &
Schwenk 2019.)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def accuracy(sources: Vectors, targets: Vectors, texts: Sequence[str]) -> float:
    """Percent of rows of `sources` [rows, hidden] whose nearest row of `targets` [rows, hidden], by
    cosine, is their own.

    `texts` are the targets' sentences: an equal sentence elsewhere is as right.
    """
    a = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    b = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    nearest = (a @ b.T).argmax(axis=1)
    return round(100 * float(np.mean([texts[i] == texts[n] for i, n in enumerate(nearest)])), 1)
