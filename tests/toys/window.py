"""A family of backbones in one file: words mixed with those beside them, and with nothing further
away. Its class is not transformers' own, it has no token types and a config of its own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from polygraft.architectures.family import Family


class WindowConfig(PreTrainedConfig):
    """`longest`: tokens that can be read; `width`: of a state, which others call hidden_size."""

    model_type = "window"
    attribute_map = {"hidden_size": "width"}  # noqa: RUF012

    def __init__(self, pieces: int = 100, width: int = 32, longest: int = 48, **more: Any) -> None:
        self.pieces, self.width, self.longest = pieces, width, longest
        super().__init__(**more)


class Mixer(nn.Module):
    """state + back(gelu(into([mean of both neighbours, state])))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.back = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        seen = states * visible
        none = torch.zeros_like(seen[:, :1])
        before = torch.cat([none, seen[:, :-1]], dim=1)
        after = torch.cat([seen[:, 1:], none], dim=1)
        both = torch.cat([(before + after) / 2, states], dim=-1)
        mixed: torch.Tensor = self.norm(states + self.back(nn.functional.gelu(self.into(both))))
        return mixed


class WindowModel(PreTrainedModel):
    config_class = WindowConfig

    def __init__(self, config: WindowConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.pieces, config.width)
        self.mixers = nn.ModuleList(Mixer(config.width) for _ in range(2))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> BaseModelOutput:
        states, visible = self.words(input_ids), attention_mask[..., None].float()
        for mixer in self.mixers:
            states = mixer(states, visible)
        return BaseModelOutput(last_hidden_state=states)


class Window(Family):
    def max_length(self, config: Mapping[str, Any]) -> int:
        return int(config["longest"])

    def load_encoder(self, folder: Path) -> PreTrainedModel:
        model = WindowModel(WindowConfig.from_pretrained(folder))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval().requires_grad_(False)


FAMILY = Window()
