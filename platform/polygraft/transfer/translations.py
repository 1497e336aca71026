"""Rows that are translations of each other, found by their vectors alone, without an id or a text.

Across languages a row counts when it and a training row are each other's nearest and stand out from
their neighbours by the ratio margin of Artetxe & Schwenk 2019 ("Margin-based parallel corpus
mining", section 3). All rows of the target compete to be the nearest: among 25 alone, 40% of rows
that are no translations were somebody's nearest; among 125 that they belong to, 16%.
Single rows are not proof; a set with many is. Shares where held-out rows are translations of
training ones: spam from English, German 58%, Spanish 42%, Hindi 6% (the backbone knows too little
of it); NusaX from Indonesian, 67 to 69%; SIB-200 from English, French 82%, Yoruba 49%. Honest
splits: 1 to 15%, but 34% of SIB-200's Yoruba dev rows: sentences of one article lie on both sides.
Within one language nearness says nothing: 63% of SIB-200's English dev rows are close to a training
row. There a row counts only where its vector is that of the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from polygraft.training.linear_head import Vectors

NEIGHBOURS, MARGIN = 4, 1.2
SAME = 0.99
"""Cosine of a text with itself: 0.998 at least, read in int8 and in float32."""
SUSPICIOUS, LEAST_ROWS = 30.0, 30
"""Percent of rows with a partner, and number of rows, from which there is a verdict."""
HONEST, CHANCE = 0.15, 0.01
"""The share of rows with a partner that was seen of honest splits, but for the one, and the largest
chance by which one may have as many as are there."""
HELD_OUT_ROWS, TRAINING_ROWS = 450, 2_000
"""Rows of a split, and of a source, that are looked at."""


@dataclass(frozen=True)
class Partners:
    """Held-out rows, of `rows`, that have a partner among training rows: the places of both, the
    clearest first."""

    rows: int
    pairs: list[tuple[int, int]]

    @property
    def share(self) -> float:
        """Percent."""
        return 100 * len(self.pairs) / self.rows if self.rows else 0.0

    @property
    def are_translations(self) -> bool:
        """Whether there are more than chance gives an honest split, of rows enough to tell."""
        if self.rows < LEAST_ROWS or self.share < SUSPICIOUS:
            return False
        return bool(binom.sf(len(self.pairs) - 1, self.rows, HONEST) <= CHANCE)


def find_partners(
    held_out: Vectors, trained: Vectors, others: Vectors, *, one_language: bool = False
) -> Partners:
    """Partners of the unit vectors `held_out` [n, hidden] among `trained` [m, hidden]. `others` [k,
    hidden] are further rows of the target, which compete for them. `one_language`: training rows
    are in the target's."""
    if len(held_out) <= NEIGHBOURS or len(trained) <= NEIGHBOURS:
        return Partners(len(held_out), [])
    cosines = held_out @ trained.T
    rows, nearest = np.arange(len(held_out)), cosines.argmax(axis=1)
    closeness = cosines[rows, nearest]
    if one_language:
        is_partner = closeness >= SAME
    else:
        of_all = np.concatenate([cosines, others @ trained.T])
        is_mutual = of_all.argmax(axis=0)[nearest] == rows
        around = (_mean_of_nearest(cosines) + _mean_of_nearest(of_all.T)[nearest]) / 2
        closeness = closeness / around
        is_partner = is_mutual & (closeness > MARGIN)
    clearest = sorted(rows[is_partner].tolist(), key=lambda row: -closeness[row])
    return Partners(len(held_out), [(row, int(nearest[row])) for row in clearest])


def partners_of_splits(
    trained: Vectors,
    own: Vectors,
    held_out: Mapping[str, Vectors],
    *,
    one_language: bool,
) -> dict[str, Partners]:
    """Of each held-out split, what `find_partners` finds; all unit vectors [rows, hidden]. `own`
    are training rows of the target."""
    found = dict[str, Partners]()
    for name, rows in held_out.items():
        others = [own, *(held_out[other] for other in held_out if other != name)]
        found[name] = find_partners(
            rows, trained, np.concatenate(others), one_language=one_language
        )
    return found


def _mean_of_nearest(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, the mean of its `NEIGHBOURS` highest cosines."""
    means: NDArray[np.float32] = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    return means
