"""What each of a job's source rows counts: see `transfer.mixing`."""

from __future__ import annotations

import numpy as np

from polygraft.data.splits import Split
from polygraft.tasks.classification.encoding import source_vectors, vectors_of
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.joining import folds_of
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import unit
from polygraft.transfer.mixing import Beside, Weights, best_weight, row_weights, twins


def source_weights(
    job: ClassificationJob, target: Split, lexical: Floats | None = None
) -> Weights | None:
    """A weight for every row of `job.source_rows`, None when there are none; their mean is about
    what the recipe's `source` says. `lexical` is what the lexical part, fitted without them,
    answers to the target's rows: the best weight is that which helps most beside it."""
    options = job.recipe.source
    if job.source_rows is None or options is None:
        return None
    if options.by == "even" and options.weight != "auto":
        return np.full(len(job.source_rows), options.weight)  # nothing is asked of the vectors
    source = source_vectors(job)
    assert source is not None
    source = source.scaled(None)
    ours = unit(vectors_of(job, target.texts))
    shape = row_weights(options.by, ours, target.labels, source)
    if options.weight == "auto":
        labels = job.splits.labels
        beside = Beside(source, shape, twins(target.ids, ours, source))
        return shape * best_weight(ours, target.labels, labels, folds_of(target), beside, lexical)
    return shape * options.weight


def mean_weight(weights: Weights | None) -> float | None:
    """The figure that a run records about its source rows' weights."""
    return None if weights is None else round(float(weights.mean()), 3)
