"""Sentence vectors of a backbone: the mean of the token states, unit length; and the linear head on
them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.text import TextEncoder
from polygraft.training.batches import tensors

Vectors = NDArray[np.float32]
UNSEEN = -10.0  # bias of a label that no row has


def pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over unmasked tokens: [rows, seq, hidden], [rows, seq] -> [rows, hidden]."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Unit-length mean over unmasked tokens: [rows, seq, hidden], [rows, seq] -> [rows, hidden]."""
    return nn.functional.normalize(pool(states, mask), dim=-1)


def unit(vectors: Vectors) -> Vectors:
    """Each row of [rows, hidden] at length 1."""
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def regression(
    vectors: Vectors,
    labels: Sequence[str] | NDArray[np.str_],
    weights: NDArray[np.float64] | None = None,
) -> LogisticRegression:
    """Logistic regression on vectors [rows, hidden], the linear head of every baseline that has
    one. Rows of weight 0 are left out, and so is a label that only they have."""
    head, gold = LogisticRegression(C=10, max_iter=2000, class_weight="balanced"), np.array(labels)
    if weights is None:
        return head.fit(vectors, gold)
    counts = weights > 0
    return head.fit(vectors[counts], gold[counts], sample_weight=weights[counts])


def head_weights(
    head: LogisticRegression, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A regression's weight [labels, hidden] and bias [labels] for `labels`; those that no row had
    get `UNSEEN` as their bias."""
    weight, bias = head.coef_, head.intercept_
    if len(head.classes_) == 2:  # scikit-learn keeps one row for both
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    all_weights = np.zeros((len(labels), weight.shape[1]))
    all_biases = np.full(len(labels), UNSEEN)
    rows = [list(labels).index(label) for label in head.classes_]
    all_weights[rows], all_biases[rows] = weight, bias
    return all_weights, all_biases


def head_logits(head: LogisticRegression, vectors: Vectors, labels: Sequence[str]) -> Vectors:
    """[rows, labels]"""
    weight, bias = head_weights(head, labels)
    logits: Vectors = (vectors @ weight.T + bias).astype(np.float32)
    return logits


@torch.no_grad()
def sentence_vectors(
    model: PreTrainedModel,
    encoder: TextEncoder,
    texts: Sequence[str],
    batch: int = 64,
    *,
    unit: bool = True,
) -> Vectors:
    """Mean-pooled vectors, of unit length unless told otherwise, float32 [len(texts), hidden]."""
    rows = encoder.encode(texts)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = np.zeros((len(rows), model.config.hidden_size), np.float32)
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        inputs = tensors(encoder.pad([rows[i] for i in picked]))
        states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"]
        out[picked] = (mean_pool if unit else pool)(states, mask).numpy()
    return out
