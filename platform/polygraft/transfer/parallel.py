"""Held-out rows that are translations of rows the parent, or another source, was trained on: where
no id tells, the backbone's own vectors do (see `translations`). Where training rows share ids, ids
decide alone."""

from __future__ import annotations

import numpy as np

from polygraft.data.reading import thinned
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.tasks.classification.encoding import vectors_of
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.tasks.classification.source_rows import ids_of, shared_rows
from polygraft.training.linear_head import Vectors, unit
from polygraft.transfer.translations import HELD_OUT_ROWS, SUSPICIOUS, TRAINING_ROWS, shares


def check(job: ClassificationJob) -> None:
    """Raises `DataError` when `SUSPICIOUS` percent of dev or test look translated from the parent's
    training rows, or those of another source, unless the job allows leaks. Says nothing when
    neither those rows nor vectors of them are on this machine, or when the ids of training rows are
    shared: what the ids say was checked already."""
    shared = shared_rows(job.parent, job.backbone) if job.parent else None
    source_rows = job.source_rows or shared or job.parent_rows
    if source_rows is None or job.allow_leak is not None:
        return
    if np.isin(ids_of(source_rows), id_hashes(job.splits.train.ids)).any():
        return
    options = job.recipe.source
    source = f"source {options.adapter}" if options else f"parent {job.recipe.parent}"

    def vectors(split: Split, most: int) -> Vectors:
        return unit(vectors_of(job, thinned(split.texts, most)))

    own = vectors(job.splits.train, HELD_OUT_ROWS)
    if isinstance(source_rows, SharedVectors):
        trained = unit(source_rows.vectors)
    else:
        trained = vectors(source_rows, TRAINING_ROWS)
    held_out = {
        name: vectors(split, HELD_OUT_ROWS)
        for name, split in (("dev", job.splits.dev), ("test", job.splits.test))
        if split
    }
    problems = [
        f"{name}: {share:.0f}% of its rows look like translations of rows that {source} was "
        "trained on; split by message, a text and its translations on one side, or say why they "
        "may stay with --allow-leak REASON"
        for name, share in shares(trained, own, held_out).items()
        if share >= SUSPICIOUS
    ]
    if problems:
        raise DataError(f"data of {job.recipe.name}", problems)
