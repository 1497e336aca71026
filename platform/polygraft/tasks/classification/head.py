"""Strategy `head`: logistic regression on the frozen backbone's vectors, served as an adapter whose
LoRA is zero.

With `source`, another recipe's rows are fitted beside the target's: what was learnt from one
language is kept for the next, since nothing in the backbone moves.

LoRA with a fresh head starts from this head too (Kumar et al. 2022, "Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution", section 3.4). On dev rows of SIB-200,
seed 0, a random head got 84.1 on English, 43.8 as the mean of twelve other languages without a row
of theirs, 50.8 with ten a label (three languages, two draws); this one 87.9, 44.7 and 53.5. A
quarter of the learning rate beside it: 85.3, 43.1, 54.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import source_vectors, vectors_of
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.joining import Fold
from polygraft.tasks.classification.source_weights import mean_weight, source_weights
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import head_weights, regression
from polygraft.transfer.mixing import Beside, Weights, out_of_fold, twins


@dataclass(frozen=True)
class FittedHead:
    """A classifier with its head fitted; `out_of_fold` are the logits [rows, labels] of its
    training rows by heads that were fitted without them. `source_weight` is the mean of the source
    rows' weights, None where there are none."""

    classifier: model.Classifier
    out_of_fold: Floats
    source_weight: float | None


def fit_head(
    job: ClassificationJob, rows: Split, folds: Sequence[Fold], lexical: Floats | None
) -> FittedHead:
    """Run strategy `head` on `rows`. `lexical` is what the lexical part answers to them out of
    fold, where there is one: the source rows' weight is chosen beside it."""
    labels = job.splits.labels
    classifier = model.build(
        job.recipe, job.backbone, job.sites, labels, None, job.parent, None, job.stack
    )
    row_weights = source_weights(job, rows, lexical)
    scale = probe(classifier, job, rows, row_weights)
    ours = vectors_of(job, rows.texts, classifier.adapted) / scale
    source = source_vectors(job, classifier.adapted)
    beside = None
    if source and row_weights is not None:
        beside = Beside(source.scaled(1 / scale), row_weights, twins(rows.ids, ours, source))
    return FittedHead(
        classifier,
        out_of_fold(ours, rows.labels, labels, folds, beside),
        mean_weight(row_weights),
    )


def probe(
    classifier: model.Classifier,
    job: ClassificationJob,
    rows: Split,
    source_row_weights: Weights | None,
) -> float:
    """Fit a linear head on `rows`, and on the job's source rows with their weights where they are
    given, and put it into `classifier`. Returns the mean length of the vectors, by which they were
    divided for the fit."""
    adapted = classifier.adapted.eval()
    vectors, gold, weights = vectors_of(job, rows.texts, adapted), rows.labels, np.ones(len(rows))
    if source_row_weights is not None and (source := source_vectors(job, adapted)):
        vectors, gold = np.concatenate([vectors, source.vectors]), gold + source.labels
        weights = np.concatenate([weights, source_row_weights])
    scale = float(np.linalg.norm(vectors, axis=1).mean())
    weight, bias = head_weights(regression(vectors / scale, gold, weights), job.splits.labels)
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(weight / scale))
        classifier.head.bias.copy_(torch.from_numpy(bias))
    return scale
