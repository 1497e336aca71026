"""BERT, and encoder-decoders whose halves are both BERT, as the bundled backbone is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polygraft.architectures.family import Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Bert(Family):
    """Reads token types too: they carry the case of words where the config has `case_feature`."""

    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def decoder_inputs(self, token: torch.Tensor, **given: torch.Tensor) -> dict[str, torch.Tensor]:
        """With token types: left out, the class looks them up by position, as for one row."""
        return super().decoder_inputs(token, **given) | {"decoder_token_type_ids": token * 0}

    def last_states(self, model: PreTrainedModel, **inputs: torch.Tensor) -> torch.Tensor:
        """Of the body, through the layer that the class has before its vocabulary."""
        decoder = model.get_decoder()
        body = decoder.bert(**inputs).last_hidden_state
        states: torch.Tensor = decoder.cls.predictions.transform(body)
        return states


FAMILY = Bert()
