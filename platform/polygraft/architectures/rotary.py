"""Encoders with rotary positions (Su et al. 2021, "RoFormer"): ModernBERT, EuroBERT, Nomic, and
Jina."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polygraft.architectures.family import Family

if TYPE_CHECKING:
    import torch


class Rotary(Family):
    """ONNX Runtime's RotaryEmbedding wants the angles of every row; the models make those of one
    for all."""

    def graph_inputs(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        import torch

        ids = inputs["input_ids"]
        positions = torch.arange(ids.shape[1], device=ids.device)
        return inputs | {"position_ids": positions.expand(ids.shape)}


FAMILY = Rotary()
