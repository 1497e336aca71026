"""The model that is trained: the encoder with LoRA by peft, and the loss of its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import peft
import torch
from torch.nn import functional

from polygraft.architectures.loading import load_backbone
from polygraft.tasks.embedding.recipe import EmbeddingRecipe
from polygraft.training.lora import TrainedOnly, adapt
from polygraft.training.speed import quick_attention
from polygraft.training.vectors import pool


class Embedder(TrainedOnly):
    """`forward` takes what `PairBatches` gives and returns the `loss`: that of finding each pair's
    other side in the batch (van den Oord et al. 2018, InfoNCE), both ways, as a mean over
    `dimensions` (Kusupati et al. 2022, section 3)."""

    def __init__(
        self, adapted: peft.PeftModel, temperature: float, dimensions: Sequence[int]
    ) -> None:
        super().__init__()
        self.adapted, self.temperature, self.dimensions = adapted, temperature, list(dimensions)

    def forward(
        self,
        attention_mask: torch.Tensor,
        wanted: torch.Tensor,
        texts: torch.Tensor,
        anchors: torch.Tensor | None = None,
        **inputs: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        states = self.adapted(attention_mask=attention_mask, **inputs).last_hidden_state
        vectors = pool(states, attention_mask).float()
        if anchors is None:
            vectors, anchors = vectors[: len(texts)], vectors[len(texts) :]
        # no text is to be told apart from itself, or from what means the same
        same = (texts[:, None] == texts[None]).any(-1)
        same.fill_diagonal_(False)
        losses = [
            self._loss(vectors[:, :size], anchors[:, :size], wanted, same)
            for size in self.dimensions
        ]
        return {"loss": torch.stack(losses).mean()}

    def _loss(
        self, vectors: torch.Tensor, anchors: torch.Tensor, wanted: torch.Tensor, same: torch.Tensor
    ) -> torch.Tensor:
        vectors, anchors = (functional.normalize(one, dim=-1) for one in (vectors, anchors))
        likeness = vectors @ anchors.T / self.temperature
        likeness = likeness.masked_fill(same[wanted], float("-inf"))
        pairs = len(anchors)
        back = functional.cross_entropy(likeness[:pairs].T, wanted[:pairs])
        return (functional.cross_entropy(likeness, wanted) + back) / 2


def build(
    recipe: EmbeddingRecipe,
    backbone: Path,
    sites: Sequence[str],
    parent: Path | None,
    dimensions: Sequence[int],
) -> Embedder:
    """LoRA on the frozen encoder, fresh or the parent's."""
    lora = recipe.lora
    if recipe.strategy == "frozen":  # it adds nothing, in as few weights as there can be
        lora = lora.model_copy(update={"r": 1, "sites": [sites[0]]})
    adapted = adapt(quick_attention(load_backbone(backbone)), lora, sites, parent)
    return Embedder(adapted, recipe.training.temperature, dimensions)
