"""What the golden inputs of every task have in common: short texts, rounded numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COUNT = 6
CANDIDATES = 200
MAX_CHARACTERS = 120


def beginnings(dev: Sequence[str], train: Sequence[str]) -> list[str]:
    """Different beginnings of dev texts; where they are fewer than goldens are wanted, training
    texts follow."""
    found = dict.fromkeys(text[:MAX_CHARACTERS].strip() for text in dev)
    if len(found) < COUNT:
        found |= dict.fromkeys(text[:MAX_CHARACTERS].strip() for text in train[:CANDIDATES])
    return list(found)


def rounded(values: NDArray[np.floating]) -> list[float]:
    """As a manifest keeps them."""
    return [round(float(x), 5) for x in values]
