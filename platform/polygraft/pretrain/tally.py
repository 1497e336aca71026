"""Losses by direction, summed up between two lines of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


class Tally:
    """Sums of piece losses by (source language, target language). Means are over pieces, not over
    batches."""

    def __init__(self, languages: Sequence[str]) -> None:
        self.languages = languages
        self._sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(
        self,
        losses: torch.Tensor,
        rows: torch.Tensor,
        sources: NDArray[np.uint8],
        targets: NDArray[np.uint8],
    ) -> None:
        """Add `losses` float [pieces] of the rows `rows` int64 [pieces], whose languages are
        `sources[row]` and `targets[row]`, indices into `languages`."""
        directions = sources.astype(np.int64) * len(self.languages) + targets
        of_piece, values = directions[rows.cpu().numpy()], losses.detach().float().cpu().numpy()
        for direction in np.unique(directions):
            found = values[of_piece == direction]
            self._sums[int(direction)][0] += float(found.sum())
            self._sums[int(direction)][1] += len(found)

    def means(self) -> dict[str, float]:
        """Mean loss of a piece by direction (`en-yo`), in order of name."""
        size = len(self.languages)
        named = {
            f"{self.languages[direction // size]}-{self.languages[direction % size]}": round(
                total / count, 4
            )
            for direction, (total, count) in self._sums.items()
            if count
        }
        return dict(sorted(named.items()))

    def clear(self) -> None:
        self._sums.clear()
