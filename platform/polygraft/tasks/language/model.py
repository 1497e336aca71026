"""The model that is trained: the encoder with LoRA by peft, and what judges its states: masked
tokens, or the decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peft
import torch
from transformers import PreTrainedModel

from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.training.lora import TrainedOnly, adapt
from polygraft.training.noise import MaskedHead, masked_loss
from polygraft.training.softmax import decoder_losses
from polygraft.training.speed import quick_attention

NEGATIVES = 2048


class Reader(TrainedOnly):
    """`forward` takes padded int64 [rows, seq] tensors and returns the `loss`: of the masked tokens
    in `labels` or, with `decoder_input_ids`, of what the decoder writes."""

    def __init__(self, adapted: peft.PeftModel, whole: PreTrainedModel | None, seed: int) -> None:
        """`adapted` is an encoder with LoRA, `whole` the encoder-decoder whose decoder judges
        it."""
        super().__init__()
        self.adapted, self.whole, self.rng = adapted, whole, np.random.default_rng(seed)
        self.head = MaskedHead(adapted.config.hidden_size)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        decoder_input_ids: torch.Tensor | None = None,
        **inputs: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        states = self.adapted(
            input_ids=input_ids, attention_mask=attention_mask, **inputs
        ).last_hidden_state
        if decoder_input_ids is None:
            embeddings = self.adapted.get_input_embeddings()
            return {"loss": masked_loss(self.head, embeddings, states, input_ids, labels)}
        assert self.whole is not None
        losses = decoder_losses(
            self.whole,
            decoder_input_ids,
            states,
            attention_mask,
            labels,
            self.rng,
            negatives=NEGATIVES if self.training else 0,
        )
        return {"loss": losses.mean()}


def build(
    recipe: LanguageRecipe,
    backbone: Path,
    sites: list[str],
    parent: Path | None,
    *,
    writes: bool,
    seed: int,
) -> Reader:
    """LoRA on the frozen encoder, fresh or the parent's; with `writes` the decoder is there too."""
    if writes:
        whole = quick_attention(load_seq2seq(backbone))
        encoder = whole.get_encoder()
    else:
        whole, encoder = None, quick_attention(load_backbone(backbone))
    return Reader(adapt(encoder, recipe.lora, sites, parent), whole, seed)
