"""What may differ from one family of backbones to another; the defaults hold for most encoders and
encoder-decoders of transformers, and a family overrides what does not.

Everything else asks a backbone nothing but this: how its text comes in (`inputs`, `max_length`),
how it is loaded, and how its decoder takes one more token. `registry` finds the family of a folder.
Serving reads the first two only, so torch and transformers are imported inside methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import EncoderDecoderCache, GenerationConfig, PreTrainedModel


class Family:
    """A kind of backbone, as all that is neither the folder's nor the task's."""

    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    """What the encoder reads, int64 [rows, seq] each: of `input_ids`, `attention_mask` and
    `token_type_ids`."""

    def max_length(self, config: Mapping[str, Any]) -> int:
        """How many tokens, special ones included, the encoder of this config can read at once."""
        return int(config.get("max_position_embeddings", 512))

    def graph_inputs(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the encoder is called with in its graph, given its `inputs` by name."""
        return inputs

    def load_encoder(self, folder: Path) -> PreTrainedModel:
        """The encoder in float32, eval mode, frozen: takes `inputs` by name and gives
        `last_hidden_state` [rows, seq, hidden]. Of an encoder-decoder its first half."""
        from transformers import AutoConfig, AutoModel

        if AutoConfig.from_pretrained(folder).is_encoder_decoder:
            encoder: PreTrainedModel = self.load_seq2seq(folder).get_encoder()
            return encoder
        model = AutoModel.from_pretrained(folder, use_safetensors=True, dtype="float32")
        return _without_pooler(model).eval().requires_grad_(False)

    def load_seq2seq(self, folder: Path) -> PreTrainedModel:
        """The whole of an encoder-decoder, in float32, eval mode, frozen."""
        from transformers import AutoModelForSeq2SeqLM

        model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, dtype="float32")
        _without_pooler(model.get_encoder())
        model.generation_config = _plain_generation()
        return model.eval().requires_grad_(False)

    def untrained_seq2seq(self, folder: Path) -> PreTrainedModel:
        """A model of the shape of the one in `folder`, with random weights, to be trained."""
        from transformers import AutoConfig, AutoModelForSeq2SeqLM

        config = AutoConfig.from_pretrained(folder)
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(config, dtype="float32")
        _without_pooler(model.get_encoder())
        model.generation_config = _plain_generation()
        return model

    def max_written(self, model: PreTrainedModel) -> int:
        """How many tokens the decoder can write."""
        config = getattr(model.config, "decoder", model.config)
        return int(getattr(config, "max_position_embeddings", 512))

    def next_token(
        self,
        model: PreTrainedModel,
        token: torch.Tensor,
        states: torch.Tensor,
        cache: EncoderDecoderCache,
        **given: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [rows, 1, pieces] of what follows `token` int64 [rows, 1], after encoder states
        [rows, seq, hidden]; `cache` is read and grows. `given`: see `decoder_inputs`."""
        from transformers.modeling_outputs import BaseModelOutput

        logits: torch.Tensor = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            past_key_values=cache,
            use_cache=True,
            **self.decoder_inputs(token, **given),
        ).logits
        return logits

    def decoder_inputs(self, token: torch.Tensor, **given: torch.Tensor) -> dict[str, torch.Tensor]:
        """The decoder's arguments for one token a row, int64 [rows, 1]. `given`, each may be left
        out: `position` int64 [rows, 1]; and what is added to the scores of attention, `mask`
        float32 [rows, 1, 1, past + 1] and `source` [rows, 1, 1, seq]."""
        names = {
            "position": "decoder_position_ids",
            "mask": "decoder_attention_mask",
            "source": "attention_mask",
        }
        return {"decoder_input_ids": token} | {names[n]: tensor for n, tensor in given.items()}

    def last_states(self, model: PreTrainedModel, **inputs: torch.Tensor) -> torch.Tensor:
        """What the product with the output vocabulary reads, [rows, written, hidden], when the
        decoder is given `inputs` by its own names: `input_ids` int64 [rows, written] and
        `encoder_hidden_states` [rows, seq, hidden], each with its mask."""
        states: torch.Tensor = model.get_decoder()(**inputs).last_hidden_state
        return states

    def output_product(self, model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The product with the output vocabulary: weight [pieces, hidden], and bias [pieces] where
        there is one (BART and its like keep it beside the layer)."""
        layer = model.get_output_embeddings()
        beside = getattr(model, "final_logits_bias", None)
        return layer.weight, layer.bias if beside is None else beside[0]


def _plain_generation() -> GenerationConfig:
    """Beams, forced tokens and the like that a published model comes with are not its own writing:
    what is around a text is in `conventions`, and how it is searched for in the request."""
    from transformers import GenerationConfig

    return GenerationConfig()


def _without_pooler(model: PreTrainedModel) -> PreTrainedModel:
    """Some classes make a layer for the first token's vector that nobody trained or reads."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
