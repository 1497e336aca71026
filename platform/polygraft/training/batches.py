"""Rows in order -> batches within a token budget: the one cut that every stage makes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cut(
    order: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int
) -> list[NDArray[np.int64]]:
    """Runs of `order`, each of at most `tokens` tokens once padded to its longest row; a row longer
    than that is alone.

    `lengths[row]` is the length of `row`. Order the rows by length first, or much is padded.
    """
    batches, first, longest = list[NDArray[np.int64]](), 0, 0
    for i, row in enumerate(order):
        longest = max(longest, int(lengths[row]))
        if i > first and (i + 1 - first) * longest > tokens:
            batches.append(order[first:i])
            first, longest = i, int(lengths[row])
    return [*batches, order[first:]] if len(order) else []
