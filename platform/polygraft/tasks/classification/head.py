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

from collections.abc import Callable

import numpy as np
import torch

from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.job import Job, vectors_of
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.run import Run
from polygraft.training.vectors import regression
from polygraft.transfer.mixing import Weights, mean_weight, source_weights

UNSEEN = -10.0  # bias of a label that no row has


def fit_head(job: Job, seed: int) -> Run:
    """The strategy. The seed draws the rows when there are `shots`, no more."""
    rows = job.train_rows(seed)
    classifier = model.build(
        job.recipe, job.backbone, job.sites, job.splits.labels, None, job.parent, None, job.under
    )
    beside = source_weights(job, rows)
    answer = probe(classifier, job, rows, beside)
    dev = macro_f1(np.array(job.splits.dev.labels), np.array(answer(job.splits.dev.texts)))
    return Run(
        seed, classifier, dev, answer(job.held_out[1].texts), 0.0, source_weight=mean_weight(beside)
    )


def probe(
    classifier: model.Classifier, job: Job, rows: Split, beside: Weights | None
) -> Callable[[list[str]], list[str]]:
    """Put the head that fits `rows`, and the source's with the weights `beside` if any, into
    `classifier`. Returns what answers texts with it."""
    labels, adapted = job.splits.labels, classifier.adapted.eval()
    texts, gold, weights = rows.texts, rows.labels, np.ones(len(rows))
    if (source := job.source_rows) and beside is not None:
        texts, gold = texts + source.texts, gold + source.labels
        weights = np.concatenate([weights, beside])
    given = vectors_of(job, texts, adapted)
    scale = float(np.linalg.norm(given, axis=1).mean())
    fitted = regression(given / scale, gold, weights)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        classifier.head.weight.zero_()
        classifier.head.bias.fill_(UNSEEN)
        for label, w, b in zip(fitted.classes_, weight / scale, bias, strict=True):
            classifier.head.weight[labels.index(label)] = torch.from_numpy(w)
            classifier.head.bias[labels.index(label)] = float(b)
    return lambda texts: [
        str(label) for label in fitted.predict(vectors_of(job, texts, adapted) / scale)
    ]
