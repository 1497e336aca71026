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
from sklearn.linear_model import LogisticRegression

from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.job import ClassificationJob, vectors_of
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.training.vectors import regression
from polygraft.transfer.mixing import Weights, mean_weight, source_weights

UNSEEN = -10.0  # bias of a label that no row has


def fit_head(job: ClassificationJob, seed: int) -> ClassificationRun:
    """Run strategy `head`. The seed draws the rows where the recipe has `shots`; nothing else is
    random."""
    rows = job.train_rows(seed)
    classifier = model.build(
        job.recipe, job.backbone, job.sites, job.splits.labels, None, job.parent, None, job.stack
    )
    row_weights = source_weights(job, rows)
    answer = probe(classifier, job, rows, row_weights)
    dev = job.splits.dev
    return ClassificationRun(
        seed=seed,
        classifier=classifier,
        dev_score=macro_f1(np.array(dev.labels), np.array(answer(dev.texts))),
        predicted=answer(job.held_out[1].texts),
        epochs=0.0,
        source_weight=mean_weight(row_weights),
    )


def probe(
    classifier: model.Classifier,
    job: ClassificationJob,
    rows: Split,
    source_row_weights: Weights | None,
) -> Callable[[list[str]], list[str]]:
    """Fit a linear head on `rows`, and on the job's source rows with their weights where they are
    given, and put it into `classifier`. Returns a function that answers texts with that head."""
    adapted = classifier.adapted.eval()
    texts, gold, weights = rows.texts, rows.labels, np.ones(len(rows))
    if (source := job.source_rows) and source_row_weights is not None:
        texts, gold = texts + source.texts, gold + source.labels
        weights = np.concatenate([weights, source_row_weights])
    vectors = vectors_of(job, texts, adapted)
    scale = float(np.linalg.norm(vectors, axis=1).mean())
    fitted = regression(vectors / scale, gold, weights)
    _set_head(classifier.head, fitted, scale, job.splits.labels)

    def answer(texts: list[str]) -> list[str]:
        predicted = fitted.predict(vectors_of(job, texts, adapted) / scale)
        return [str(label) for label in predicted]

    return answer


@torch.no_grad()
def _set_head(
    head: torch.nn.Linear, fitted: LogisticRegression, scale: float, labels: list[str]
) -> None:
    """Make `head`, a row a label of `labels`, answer vectors as `fitted` answers vectors /
    scale."""
    weight, bias = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row for both
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    head.weight.zero_()
    head.bias.fill_(UNSEEN)
    for label, row, value in zip(fitted.classes_, weight / scale, bias, strict=True):
        head.weight[labels.index(label)] = torch.from_numpy(row)
        head.bias[labels.index(label)] = float(value)
