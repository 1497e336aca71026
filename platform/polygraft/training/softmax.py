"""The loss of what a decoder writes; the whole vocabulary is scored only when it must be."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.registry import family_named
from polygraft.architectures.target_tokenizer import PAD_ID

IGNORED = -100


def decoder_losses(
    decoder: PreTrainedModel,
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
    `piece_losses`)."""
    family = family_named(decoder.config.model_type)
    last = family.last_states(
        decoder,
        input_ids=decoder_input_ids,
        attention_mask=(decoder_input_ids != PAD_ID).long(),
        encoder_hidden_states=states,
        encoder_attention_mask=source_mask,
    )
    output = decoder.get_output_embeddings()
    return piece_losses(output, last, labels, rng, negatives=negatives, smoothing=smoothing)


def piece_losses(
    output: nn.Linear,
    states: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    *,
    negatives: int = 0,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy [pieces] of the pieces `labels` int64 [rows, seq], `IGNORED` where there is
    none, scored by the product of `output` with `states` [rows, seq, hidden], row by row.

    With `negatives`, against the batch's own pieces and that many drawn from the others, whose
    scores are raised by how many each stands for (Jean et al. 2015, "On Using Very Large Target
    Vocabulary for Neural Machine Translation", section 3).
    """
    counts = labels != IGNORED
    states, targets = states[counts], labels[counts]
    rows, bias = output.weight, output.bias
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
