"""The loss of written pieces, without scoring the whole vocabulary when that is not needed."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers.models.bert.modeling_bert import BertLMPredictionHead

IGNORED = -100


def written_loss(
    head: BertLMPredictionHead,
    states: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    *,
    negatives: int = 0,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """The mean of `piece_losses`."""
    return piece_losses(head, states, labels, rng, negatives=negatives, smoothing=smoothing).mean()


def piece_losses(
    head: BertLMPredictionHead,
    states: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    *,
    negatives: int = 0,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy [pieces] of the pieces `labels` int64 [rows, seq], `IGNORED` where there is
    none, after `states` [rows, seq, hidden], row by row.

    With `negatives`, against the batch's own pieces and that many drawn from the others, whose
    scores are raised by how many each stands for (Jean et al. 2015, "On Using Very Large Target
    Vocabulary for Neural Machine Translation", section 3).
    """
    scored = labels != IGNORED
    states, targets = head.transform(states[scored]), labels[scored]
    rows, bias = head.decoder.weight, head.decoder.bias
    if not negatives:
        scores = nn.functional.linear(states, rows, bias).float()
        return nn.functional.cross_entropy(
            scores, targets, label_smoothing=smoothing, reduction="none"
        )
    present, position = torch.unique(targets, return_inverse=True)
    absent = np.setdiff1d(np.arange(len(rows)), present.cpu().numpy())
    drawn = torch.from_numpy(rng.choice(absent, min(negatives, len(absent)), replace=False)).to(
        targets.device
    )
    pieces = torch.cat([present, drawn])
    scores = nn.functional.linear(states, rows[pieces], bias[pieces]).float()
    scores[:, len(present) :] += np.log(len(absent) / len(drawn))
    return nn.functional.cross_entropy(scores, position, reduction="none")
