"""Rows that are translations of each other, found by their vectors alone, without an id or a text.
numpy only.

A row counts when it and a training row are each other's nearest and stand out from their neighbours
by the ratio margin of Artetxe & Schwenk 2019 ("Margin-based parallel corpus mining", section 3).
All rows of the target compete to be the nearest: among 25 alone, 40% of rows that are no
translations were somebody's nearest; among 125 that they belong to, 16%.
Single rows are not proof; a set with many is. Shares where held-out rows are translations of
training ones: spam from English, German 58%, Spanish 42%, Hindi 6% (the backbone knows too little
of it); NusaX from Indonesian, 67 to 69%; SIB-200 from English, French 82%, Yoruba 49%. Honest
splits: 1 to 15%, but 34% of SIB-200's Yoruba dev rows: sentences of one article lie on both sides.
Within one language the share says nothing: 63% of SIB-200's English dev rows are close to a
training row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from polygraft.training.linear_head import Vectors

NEIGHBOURS, MARGIN, SUSPICIOUS = 4, 1.2, 30.0
HELD_OUT_ROWS, TRAINING_ROWS = 450, 10_000


def translated(held_out: Vectors, trained: Vectors, others: Vectors) -> float:
    """Percent of the unit vectors `held_out` [n, hidden] that have a partner among `trained` [m,
    hidden]. `others` [k, hidden] are further rows of the target, which compete for it."""
    if len(held_out) <= NEIGHBOURS or len(trained) <= NEIGHBOURS:
        return 0.0
    cosines = held_out @ trained.T
    of_all = np.concatenate([cosines, others @ trained.T])
    rows = np.arange(len(held_out))
    nearest, nearest_back = cosines.argmax(axis=1), of_all.argmax(axis=0)
    neighbourhood = (_mean_of_nearest(cosines) + _mean_of_nearest(of_all.T)[nearest]) / 2
    stands_out = cosines[rows, nearest] / neighbourhood > MARGIN
    is_mutual = nearest_back[nearest] == rows
    return 100 * float(np.mean(stands_out & is_mutual))


def shares(trained: Vectors, own: Vectors, held_out: Mapping[str, Vectors]) -> dict[str, float]:
    """Of each held-out split, the percent that `translated` counts; all unit vectors [rows,
    hidden]. `own` are training rows of the target."""
    return {
        name: translated(
            rows, trained, np.concatenate([own, *(held_out[n] for n in held_out if n != name)])
        )
        for name, rows in held_out.items()
    }


def _mean_of_nearest(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, the mean of its `NEIGHBOURS` highest cosines."""
    means: NDArray[np.float32] = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    return means
