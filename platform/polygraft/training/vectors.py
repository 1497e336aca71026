"""Sentence vectors of a backbone: the mean of the token states, unit length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.text import TextEncoder
from polygraft.training.batches import tensors
from polygraft.training.linear_head import Vectors
from polygraft.training.phases import Advance


def pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over unmasked tokens: [rows, seq, hidden], [rows, seq] -> [rows, hidden]."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Unit-length mean over unmasked tokens: [rows, seq, hidden], [rows, seq] -> [rows, hidden]."""
    return nn.functional.normalize(pool(states, mask), dim=-1)


@torch.no_grad()
def sentence_vectors(
    model: PreTrainedModel,
    encoder: TextEncoder,
    texts: Sequence[str],
    batch: int = 64,
    *,
    unit: bool = True,
    advance: Advance | None = None,
) -> Vectors:
    """Mean-pooled vectors, of unit length unless told otherwise, float32 [len(texts), hidden].
    `advance` hears of every batch how many texts it had."""
    rows = encoder.encode(texts)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = np.zeros((len(rows), model.config.hidden_size), np.float32)
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        inputs = tensors(encoder.pad([rows[i] for i in picked]))
        states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"]
        out[picked] = (mean_pool if unit else pool)(states, mask).numpy()
        if advance:
            advance(len(picked))
    return out
