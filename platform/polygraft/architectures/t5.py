"""T5 and uMT5 (MADLAD), whose decoder's states are scaled where they meet the input's embeddings
again; mT5 has an output vocabulary of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polygraft.architectures.family import Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class T5(Family):
    """T5 says that it scales, uMT5 does where its embeddings are tied."""

    def last_states(self, model: PreTrainedModel, **inputs: torch.Tensor) -> torch.Tensor:
        states, config = super().last_states(model, **inputs), model.config
        scales = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return states * model.model_dim**-0.5 if scales else states


FAMILY = T5()
