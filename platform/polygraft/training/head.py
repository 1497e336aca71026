"""Strategy `head`: logistic regression on the frozen backbone's vectors, served as an adapter whose LoRA is zero."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from polygraft.evaluate import macro_f1
from polygraft.training import model
from polygraft.training.job import Job, encoder_of, predict
from polygraft.training.run import Run
from polygraft.training.vectors import sentence_vectors


def regression() -> LogisticRegression:
    """The head that every rung of the kind uses."""
    return LogisticRegression(C=10, max_iter=2000, class_weight="balanced")


def fit_head(job: Job, seed: int) -> Run:
    """Fit the head to the training rows. The seed draws the rows, when there are `shots`, and nothing else."""
    labels, rows, encoder = job.splits.labels, job.train_rows(seed), encoder_of(job)
    classifier = model.build(job.recipe, job.backbone, job.sites, labels, None, None, None, job.under)
    adapted = classifier.adapted.eval()
    vectors = sentence_vectors(adapted, encoder, rows.texts, unit=False)
    scale = float(np.linalg.norm(vectors, axis=1).mean())
    fitted = regression().fit(vectors / scale, rows.labels)
    order = [list(fitted.classes_).index(label) for label in labels]
    weight, bias = fitted.coef_, fitted.intercept_
    if len(labels) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(weight[order] / scale))
        classifier.head.bias.copy_(torch.from_numpy(bias[order]))
    dev = predict(classifier, encoder, job.splits.dev.texts, labels)
    score = macro_f1(np.array(job.splits.dev.labels), np.array(dev))
    return Run(seed, classifier, score, predict(classifier, encoder, job.held_out[1].texts, labels), 0.0)
