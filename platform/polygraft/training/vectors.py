"""Sentence vectors of a backbone: the mean of the token states, unit length; and the linear head on
them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.training.batches import tensors
from polygraft.training.speed import bf16_is_faster

Vectors = NDArray[np.float32]
MANY_TOKENS = 200_000
"""From so many on, bf16 is tried: three times as fast on CPUs with AMX or AVX-512 BF16, and 2e-5
away by 1 - cosine, where the served int8 is 8e-4."""
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
    """Mean-pooled vectors, of unit length unless told otherwise, float32 [len(texts), hidden]; of a
    text of several windows, the mean of theirs."""

    def read(rows: list[Encoded]) -> Vectors:
        inputs = tensors(encoder.pad(rows))
        states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"]
        vectors: Vectors = (mean_pool if unit else pool)(states.float(), mask).numpy()
        return vectors

    return mean_over_windows(encoder, texts, read, batch)


def mean_over_windows(
    encoder: TextEncoder,
    texts: Sequence[str],
    read: Callable[[list[Encoded]], Vectors],
    batch: int = 64,
) -> Vectors:
    """What `read` gives of each text's windows, [rows, any] of so many rows, as its mean over them:
    [len(texts), any], in the texts' order. Windows of similar length are read together.

    On news in seven languages (200 training rows each, windows of 64 tokens) a head on the first
    window has 68.5 macro-F1 on dev, one on the mean of all 74.0; the largest logit of any window
    71.3.
    """
    windows = [encoder.windows(text) for text in encoder.encode(texts)]
    rows = [window for text in windows for window in text]
    lengths = np.array([len(row) for row in rows])
    order = np.argsort(lengths, kind="stable")
    bf16 = int(lengths.sum()) > MANY_TOKENS and bf16_is_faster(lambda: read(rows[:16]))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        parts = [
            read([rows[i] for i in order[start : start + batch]])
            for start in range(0, len(rows), batch)
        ]
    values = np.empty_like(read_all := np.concatenate(parts))
    values[order] = read_all
    counts = np.array([len(text) for text in windows])
    sums = np.add.reduceat(values, np.cumsum(counts) - counts)
    means: Vectors = (sums / counts[:, None]).astype(np.float32)
    return means
