"""The model that is trained: the frozen encoder-decoder with LoRA by peft; or all of it, for the
from-scratch baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import peft
import torch
from transformers import PreTrainedModel

from polygraft.architectures.loading import load_seq2seq, untrained_seq2seq
from polygraft.tasks.translation.job import TranslationJob
from polygraft.tasks.translation.recipe import TranslationRecipe, TranslationTraining
from polygraft.training.lora import TrainedOnly, adapt
from polygraft.training.softmax import decoder_losses
from polygraft.training.speed import quick_attention


class Translator(TrainedOnly):
    """`forward` takes padded int64 [rows, seq] tensors and returns the `loss`; beside
    those named it takes what else the family reads. `inner` is the model, or peft's around it."""

    def __init__(
        self, inner: PreTrainedModel | peft.PeftModel, options: TranslationTraining, seed: int
    ) -> None:
        super().__init__()
        self.inner, self.options, self.rng = inner, options, np.random.default_rng(seed)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        labels: torch.Tensor,
        **inputs: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        whole = (
            self.inner.get_base_model() if isinstance(self.inner, peft.PeftModel) else self.inner
        )
        encoder = whole.get_encoder()
        read = encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        losses = decoder_losses(
            whole,
            decoder_input_ids,
            read.last_hidden_state,
            attention_mask,
            labels,
            self.rng,
            negatives=self.options.negatives if self.training else 0,
            smoothing=self.options.label_smoothing if self.training else 0.0,
        )
        return {"loss": losses.mean()}


def load_base(backbone: Path, stack: Sequence[Path]) -> PreTrainedModel:
    """The frozen backbone with the adapters of `stack` added to its weights: what lies under an
    adapter that is trained on top of them."""
    model = load_seq2seq(backbone)
    for adapter in stack:
        model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model.requires_grad_(False).eval()


def build(job: TranslationJob, parent: Path | None, seed: int = 0) -> Translator:
    """LoRA on the frozen backbone and the job's stack: fresh, or the parent's."""
    model = quick_attention(load_base(job.backbone, job.stack))
    inner = adapt(model, job.recipe.lora, job.sites, parent)
    return Translator(inner, job.recipe.training, seed)


def from_scratch(recipe: TranslationRecipe, backbone: Path, seed: int) -> Translator:
    """A model of the backbone's shape and vocabularies with random weights, all of them trained."""
    return Translator(quick_attention(untrained_seq2seq(backbone)), recipe.training, seed)
