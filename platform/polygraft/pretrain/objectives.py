"""The loss of a batch by its kind: translate (and distil), denoise, restore masked tokens, align.

Noise is drawn from the generator it is given, so a step is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import BertModel, EncoderDecoderModel

from polygraft.architectures.text import Encoded, pad
from polygraft.pretrain.feed import read_rows, written_rows
from polygraft.pretrain.pack import Packed
from polygraft.pretrain.plan import Batch
from polygraft.pretrain.recipe import Objectives
from polygraft.pretrain.tally import Tally
from polygraft.pretrain.teacher import towards
from polygraft.training.batches import tensors
from polygraft.training.noise import MaskedHead, cut_spans, mask_tokens, masked_loss
from polygraft.training.softmax import IGNORED, decoder_losses
from polygraft.training.vectors import mean_pool


@dataclass(frozen=True)
class Ids:
    """Token ids the objectives need: the encoder's mask and closing tokens, each language's tag in
    the decoder, and each domain's. `domain_dropout`: the share of a domain's sentences that are
    written without its tag."""

    mask: int
    closing: int
    tags: Sequence[int]
    domains: Sequence[int] = ()
    domain_dropout: float = 0.0


def losses(
    batch: Batch,
    packed: Packed,
    model: EncoderDecoderModel,
    anchor: BertModel,
    head: MaskedHead,
    objectives: Objectives,
    ids: Ids,
    rng: np.random.Generator,
    device: str,
    tally: Tally | None = None,
) -> dict[str, torch.Tensor]:
    """The loss terms of one batch, by name; what is minimised is their weighted sum (`weigh`).
    `anchor` is the encoder as it was at the start. The losses of translations are added to `tally`,
    by direction."""
    if batch.kind == "masked":
        return {"masked": _masked(batch, packed, model.encoder, head, ids, rng, device)}
    if batch.kind == "denoise":
        cut = [cut_spans(_read(packed, s), ids.mask, ids.closing, rng) for s in batch.sources]
        inputs = tensors(pad(cut, 0), device)
    else:
        inputs = tensors(read_rows(packed, batch.sources), device)
    states = model.encoder(**inputs).last_hidden_state
    if batch.kind == "align":
        return _towards_english(states, inputs["attention_mask"], batch, packed, anchor, device)
    decoder_input_ids, labels = _target(batch, packed, ids, rng, device)
    by_piece = decoder_losses(
        model,
        decoder_input_ids,
        states,
        inputs["attention_mask"],
        labels,
        rng,
        negatives=objectives.negatives,
        smoothing=objectives.label_smoothing,
    )
    loss = by_piece.mean()
    if batch.kind == "denoise":
        return {"denoise": loss}
    if tally is not None:
        rows = (labels != IGNORED).nonzero()[:, 0]
        tally.add(by_piece, rows, packed.language[batch.sources], packed.language[batch.targets])
    if not objectives.distil:
        return {"translate": loss}
    return {"translate": loss} | _towards_english(
        states, inputs["attention_mask"], batch, packed, anchor, device
    )


def _towards_english(
    states: torch.Tensor,
    mask: torch.Tensor,
    batch: Batch,
    packed: Packed,
    anchor: BertModel,
    device: str,
) -> dict[str, torch.Tensor]:
    """How far each sentence's vector is from the starting encoder's of its English side."""
    with torch.no_grad():
        english = tensors(read_rows(packed, batch.english), device)
        goal = mean_pool(anchor(**english).last_hidden_state.float(), english["attention_mask"])
    distil, contrast = towards(mean_pool(states.float(), mask), goal)
    return {"distil": distil, "contrast": contrast}


def weigh(terms: dict[str, torch.Tensor], objectives: Objectives) -> torch.Tensor:
    """The scalar to differentiate."""
    weights = {"distil": objectives.distil, "contrast": objectives.contrast}
    return torch.stack([v * weights.get(name, 1.0) for name, v in terms.items()]).sum()


def _read(packed: Packed, sentence: int) -> Encoded:
    ids, cases = packed.read(int(sentence))
    return Encoded(ids.tolist(), cases.tolist())


def _target(
    batch: Batch, packed: Packed, ids: Ids, rng: np.random.Generator, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder inputs (tag, domain's tag, pieces) and labels (pieces, end), int64 [rows, longest].

    A domain's tag is given, never asked for: after the language's tag alone comes general text.
    """
    tags = np.asarray(ids.tags, np.int64)[packed.language[batch.targets]]
    domains = np.full(len(tags), -1)
    of_domain = np.flatnonzero(packed.domain[batch.targets])
    if len(of_domain):
        tagged = of_domain[rng.random(len(of_domain)) >= ids.domain_dropout]
        domains[tagged] = np.asarray(ids.domains)[packed.domain[batch.targets[tagged]] - 1]
    decoder_input_ids, labels = written_rows(packed, batch.targets, tags, domains)
    return (
        torch.from_numpy(decoder_input_ids).to(device),
        torch.from_numpy(labels).to(device),
    )


def _masked(
    batch: Batch,
    packed: Packed,
    encoder: BertModel,
    head: MaskedHead,
    ids: Ids,
    rng: np.random.Generator,
    device: str,
) -> torch.Tensor:
    padded = read_rows(packed, batch.sources)
    masked, masked_out = mask_tokens(padded, ids.mask, ids.closing, rng)
    inputs = tensors(masked, device)
    states = encoder(**inputs).last_hidden_state
    labels = torch.from_numpy(masked_out).to(device)
    return masked_loss(head, encoder.get_input_embeddings(), states, inputs["input_ids"], labels)
