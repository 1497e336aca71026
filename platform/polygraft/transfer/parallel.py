"""Held-out rows that are translations of rows the parent was trained on, found by the backbone's
own vectors where no id tells.

A row counts when it and a training row are each other's nearest and stand out from their neighbours
by the ratio margin of Artetxe & Schwenk 2019 ("Margin-based parallel corpus mining", section 3).
All rows of the target compete to be the nearest: among 25 alone, 40% of rows that are no
translations were somebody's nearest; among 125 that they belong to, 16%.
Single rows are not proof; a set with many is. Shares where held-out rows are translations of
training ones: spam from English, German 58%, Spanish 42%, Hindi 6% (the backbone knows too little
of it); NusaX from Indonesian, 67 to 69%; SIB-200 from English, French 82%, Yoruba 49%. Honest
splits: 1 to 15%, but 34% of SIB-200's Yoruba dev rows: sentences of one article lie on both sides.
Where training rows share ids, ids decide alone. Within one language the share says nothing: 63% of
SIB-200's English dev rows are close to a training row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polygraft.data.reading import thinned
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.tasks.classification.job import ClassificationJob, vectors_of
from polygraft.training.vectors import Vectors, unit

NEIGHBOURS, MARGIN, SUSPICIOUS = 4, 1.2, 30.0
HELD_OUT_ROWS, TRAINING_ROWS = 450, 10_000


def check(job: ClassificationJob) -> None:
    """Raises `DataError` when `SUSPICIOUS` percent of dev or test look translated from the parent's
    training rows, or those of another source, unless the job allows leaks. Says nothing when those
    rows are not on this machine, or when the ids of training rows are shared: what the ids say was
    checked already."""
    source_rows = job.source_rows or job.parent_rows
    if source_rows is None or job.allow_leak is not None:
        return
    if set(source_rows.ids) & set(job.splits.train.ids):
        return
    options = job.recipe.source
    source = f"source {options.adapter}" if options else f"parent {job.recipe.parent}"

    def vectors(split: Split, most: int) -> Vectors:
        return unit(vectors_of(job, thinned(split.texts, most)))

    trained, own = vectors(source_rows, TRAINING_ROWS), vectors(job.splits.train, HELD_OUT_ROWS)
    held_out = {
        name: vectors(split, HELD_OUT_ROWS)
        for name, split in (("dev", job.splits.dev), ("test", job.splits.test))
        if split
    }
    shares = {}
    for name, rows in held_out.items():
        others = [own, *(other for other_name, other in held_out.items() if other_name != name)]
        shares[name] = translated(rows, trained, np.concatenate(others))
    problems = [
        f"{name}: {share:.0f}% of its rows look like translations of rows that {source} was "
        "trained on; split by message, a text and its translations on one side, or say why they "
        "may stay with --allow-leak REASON"
        for name, share in shares.items()
        if share >= SUSPICIOUS
    ]
    if problems:
        raise DataError(f"data of {job.recipe.name}", problems)


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


def _mean_of_nearest(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, the mean of its `NEIGHBOURS` highest cosines."""
    means: NDArray[np.float32] = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    return means
