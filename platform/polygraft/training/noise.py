"""Text made harder to read, and the loss of reading it all the same: masked tokens, cut spans.

Noise is drawn from the generator it is given, so a step is the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from polygraft.architectures.text import Encoded
from polygraft.training.softmax import IGNORED

MASK_RATE, SPAN_RATE, SPAN_LENGTH = 0.15, 0.3, 3


class MaskedHead(nn.Module):
    """Scores for masked tokens against the encoder's own embedding rows; thrown away after
    training."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))

    def forward(
        self, states: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:  # [n, hidden], [m, hidden] -> [n, m]
        scores: torch.Tensor = self.transform(states) @ rows.T
        return scores


def mask_tokens(
    batch: dict[str, NDArray[np.int64]], mask: int, closing: int, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Mask `MASK_RATE` of the padded batch's tokens, at least one. Returns the masked batch and
    labels [rows, seq]: the original token where one was masked, elsewhere `IGNORED`."""
    ids = batch["input_ids"]
    chosen = rng.random(ids.shape) < MASK_RATE
    chosen &= (batch["attention_mask"] == 1) & (ids != closing)
    chosen[:, 0] = False
    chosen[0, 1] |= not chosen.any()
    return batch | {"input_ids": np.where(chosen, mask, ids)}, np.where(chosen, ids, IGNORED)


def masked_loss(
    head: MaskedHead,
    embeddings: Any,
    states: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Mean cross-entropy of the masked tokens, scored against the tokens of the batch alone: a
    softmax over 50,000 rows costs more than the encoder. states [rows, seq, hidden]; input_ids and
    labels int64 [rows, seq]."""
    masked = labels != IGNORED
    targets = labels[masked]
    tokens, position = torch.unique(torch.cat([targets, input_ids.flatten()]), return_inverse=True)
    return nn.functional.cross_entropy(
        head(states[masked], embeddings(tokens)).float(), position[: len(targets)]
    )


def cut_spans(row: Encoded, mask: int, closing: int, rng: np.random.Generator) -> Encoded:
    """Replace spans of about `SPAN_LENGTH` tokens, `SPAN_RATE` of the row in all, by one mask token
    each."""
    inner = len(row) - 2
    if inner < 2:
        return row
    kept, cases = [row.ids[0]], [row.cases[0]]
    span_starts = SPAN_RATE / SPAN_LENGTH  # the chance that a span starts at a token
    i = 1
    while i <= inner:
        if rng.random() < span_starts:
            kept.append(mask)
            cases.append(0)
            i += 1 + int(rng.poisson(SPAN_LENGTH - 1))
        else:
            kept.append(row.ids[i])
            cases.append(row.cases[i])
            i += 1
    return Encoded([*kept, closing], [*cases, row.cases[-1]])
