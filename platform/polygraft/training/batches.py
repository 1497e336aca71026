"""Rows in order -> batches within a token budget, the one cut that every stage makes; and batches
as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray


def tensors(
    batch: Mapping[str, NDArray[np.int64]], device: str | torch.device = "cpu"
) -> dict[str, torch.Tensor]:
    """A batch of arrays as tensors, which share their memory on the CPU."""
    return {name: torch.from_numpy(array).to(device) for name, array in batch.items()}


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
