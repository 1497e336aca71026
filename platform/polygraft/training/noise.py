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
    """The padded batch with `MASK_RATE` of its tokens masked, at least one; and labels [rows, seq],
    the tokens that were there (elsewhere `IGNORED`)."""
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
    given: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Mean cross-entropy of the masked tokens, scored against the words of the batch alone: a
    softmax over 50,000 rows costs more than the encoder. states [rows, seq, hidden]; given and
    labels int64 [rows, seq]."""
    chosen = labels != IGNORED
    wanted = labels[chosen]
    words, place = torch.unique(torch.cat([wanted, given.flatten()]), return_inverse=True)
    return nn.functional.cross_entropy(
        head(states[chosen], embeddings(words)).float(), place[: len(wanted)]
    )


def cut_spans(row: Encoded, mask: int, closing: int, rng: np.random.Generator) -> Encoded:
    """Spans of about `SPAN_LENGTH` tokens, `SPAN_RATE` of the row in all, each become one mask
    token."""
    inner = len(row) - 2
    if inner < 2:
        return row
    kept, cases, i, opened = [row.ids[0]], [row.cases[0]], 1, SPAN_RATE / SPAN_LENGTH
    while i <= inner:
        if rng.random() < opened:
            kept.append(mask)
            cases.append(0)
            i += 1 + int(rng.poisson(SPAN_LENGTH - 1))
        else:
            kept.append(row.ids[i])
            cases.append(row.cases[i])
            i += 1
    return Encoded([*kept, closing], [*cases, row.cases[-1]])
