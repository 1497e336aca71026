"""Strategy `head`: logistic regression on the frozen backbone's vectors, served as an adapter whose LoRA is zero.

With `source`, another recipe's rows are fitted beside the target's: what was learnt from one language is kept for the next,
since nothing in the backbone moves.
"""

from __future__ import annotations

import numpy as np
import torch

from polygraft.evaluate import macro_f1
from polygraft.training import model
from polygraft.training.job import Job, encoder_of
from polygraft.training.mixing import source_weights
from polygraft.training.run import Run
from polygraft.training.vectors import Vectors, regression, sentence_vectors


def fit_head(job: Job, seed: int, known: dict[str, Vectors] | None = None) -> Run:
    """Fit the head to the training rows, and the source's if any. The seed draws the rows when there are `shots`, no more.
    `known` are vectors of texts [hidden] from a call before, with the same backbone and `under`; it is added to."""
    labels, rows, known = job.splits.labels, job.train_rows(seed), {} if known is None else known
    classifier = model.build(job.recipe, job.backbone, job.sites, labels, None, None, None, job.under)
    encoder, adapted = encoder_of(job), classifier.adapted.eval()

    def vectors(texts: list[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, sentence_vectors(adapted, encoder, new, unit=False), strict=True))
        return np.array([known[text] for text in texts])

    texts, gold, weights = rows.texts, rows.labels, np.ones(len(rows))
    if source := job.source_rows:
        texts, gold = texts + source.texts, gold + source.labels
        weights = np.concatenate([weights, source_weights(job, rows)])
    given = vectors(texts)
    scale = float(np.linalg.norm(given, axis=1).mean())
    fitted = regression().fit(given / scale, gold, sample_weight=weights)
    dev, held_out = (fitted.predict(vectors(split.texts) / scale).tolist() for split in (job.splits.dev, job.held_out[1]))
    order = [list(fitted.classes_).index(label) for label in labels]
    weight, bias = fitted.coef_, fitted.intercept_
    if len(labels) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(weight[order] / scale))
        classifier.head.bias.copy_(torch.from_numpy(bias[order]))
    return Run(seed, classifier, macro_f1(np.array(job.splits.dev.labels), np.array(dev)), held_out, 0.0)
