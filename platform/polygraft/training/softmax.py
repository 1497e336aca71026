"""The loss of what a decoder writes; the whole vocabulary is scored only when it must be."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.registry import family_of_model

IGNORED = -100


def decoder_losses(
    model: PreTrainedModel,
    decoder_input_ids: torch.Tensor,
    states: torch.Tensor,
    source_mask: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    *,
    negatives: int = 0,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy [pieces] of the pieces `labels` int64 [rows, written], given those before them,
    `decoder_input_ids` [rows, written], and encoder states [rows, seq, hidden] with their mask (see
    `piece_losses`), by the decoder of `model`."""
    family = family_of_model(model)
    # some families start with their padding, so that the pieces do not say where a row ends
    written = (labels != IGNORED).long().flip(1).cummax(1).values.flip(1)
    last = family.last_states(
        model,
        input_ids=decoder_input_ids,
        attention_mask=written,
        encoder_hidden_states=states,
        encoder_attention_mask=source_mask,
    )
    weight, bias = family.output_product(model)
    return piece_losses(weight, bias, last, labels, rng, negatives=negatives, smoothing=smoothing)


def piece_losses(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    states: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    *,
    negatives: int = 0,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy [pieces] of the pieces `labels` int64 [rows, seq], `IGNORED` where there is
    none, scored by the product of `weight` [vocabulary, hidden] with `states` [rows, seq, hidden],
    and `bias` [vocabulary], row by row.

    With `negatives`, against the batch's own pieces and that many drawn from the others, whose
    scores are raised by how many each stands for (Jean et al. 2015, "On Using Very Large Target
    Vocabulary for Neural Machine Translation", section 3).
    """
    counts = labels != IGNORED
    states, targets = states[counts], labels[counts]
    if not negatives:
        scores = nn.functional.linear(states, weight, bias).float()
        return nn.functional.cross_entropy(
            scores, targets, label_smoothing=smoothing, reduction="none"
        )
    present, position = torch.unique(targets, return_inverse=True)
    absent = np.setdiff1d(np.arange(len(weight)), present.cpu().numpy())
    drawn = torch.from_numpy(rng.choice(absent, min(negatives, len(absent)), replace=False)).to(
        targets.device
    )
    pieces = torch.cat([present, drawn])
    drawn_bias = None if bias is None else bias[pieces]
    scores = nn.functional.linear(states, weight[pieces], drawn_bias).float()
    scores[:, len(present) :] += np.log(len(absent) / len(drawn))
    return nn.functional.cross_entropy(scores, position, reduction="none")
