"""What the golden inputs of every task have in common: short texts, rounded numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COUNT = 6
CANDIDATES = 200
MAX_CHARACTERS = 120


def beginnings(dev: Sequence[str], train: Sequence[str]) -> list[str]:
    """The distinct beginnings of the dev texts, then of training texts where those are fewer than
    the goldens that are wanted."""
    texts = dict.fromkeys(text[:MAX_CHARACTERS].strip() for text in dev)
    if len(texts) < COUNT:
        texts |= dict.fromkeys(text[:MAX_CHARACTERS].strip() for text in train[:CANDIDATES])
    return list(texts)


def rounded(values: NDArray[np.floating]) -> list[float]:
    """The values with the five decimals that a manifest keeps."""
    return [round(float(x), 5) for x in values]
