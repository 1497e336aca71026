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
        direction_of_piece = directions[rows.cpu().numpy()]
        values = losses.detach().float().cpu().numpy()
        for direction in np.unique(directions):
            own = values[direction_of_piece == direction]
            self._sums[int(direction)][0] += float(own.sum())
            self._sums[int(direction)][1] += len(own)

    def means(self) -> dict[str, float]:
        """Mean loss of a piece by direction (`en-yo`), in order of name."""
        size = len(self.languages)
        means = dict[str, float]()
        for direction, (total, count) in self._sums.items():
            if count:
                source, target = divmod(direction, size)
                name = f"{self.languages[source]}-{self.languages[target]}"
                means[name] = round(total / count, 4)
        return dict(sorted(means.items()))

    def clear(self) -> None:
        self._sums.clear()
