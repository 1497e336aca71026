"""Losses by direction, summed up between two lines of the log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


class Tally:
    """Sums of piece losses by (source language, target language). Means are over pieces, not over
    batches."""

    def __init__(self, languages: Sequence[str]) -> None:
        self.languages = languages
        self._sums = torch.zeros(2, len(languages) ** 2, dtype=torch.float64)

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
        direction_of_piece = torch.from_numpy(directions).to(losses.device)[rows]
        values = losses.detach().double()
        self._sums = self._sums.to(losses.device)  # a GPU is waited for by `means` alone
        self._sums[0].index_add_(0, direction_of_piece, values)
        self._sums[1].index_add_(0, direction_of_piece, torch.ones_like(values))

    def means(self) -> dict[str, float]:
        """Mean loss of a piece by direction (`en-yo`), in order of name."""
        means = dict[str, float]()
        totals, counts = self._sums.tolist()
        for direction, (total, count) in enumerate(zip(totals, counts, strict=True)):
            if count:
                source, target = divmod(direction, len(self.languages))
                name = f"{self.languages[source]}-{self.languages[target]}"
                means[name] = round(total / count, 4)
        return dict(sorted(means.items()))

    def clear(self) -> None:
        self._sums.zero_()
