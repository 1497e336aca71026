"""A backbone's weights as its real transformers class: the encoder, or the whole of an
encoder-decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from polygraft.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel
from polygraft.architectures.folder import BackboneFiles


def load_backbone(folder: Path) -> PreTrainedModel:
    """The backbone in float32, eval mode, frozen; of an encoder-decoder its encoder. Reads
    safetensors only.

    Any architecture `AutoModel` knows.
    """
    from transformers import AutoModel

    kind = _model_type(folder)
    if kind == "encoder-decoder":
        encoder: PreTrainedModel = load_seq2seq(folder).get_encoder()
        return encoder
    options = {"add_pooling_layer": False} if kind in {"bert", "roberta", "xlm-roberta"} else {}
    model: PreTrainedModel = AutoModel.from_pretrained(
        folder, use_safetensors=True, dtype="float32", **options
    )
    return model.eval().requires_grad_(False)


def load_seq2seq(folder: Path) -> PreTrainedModel:
    """The whole of an encoder-decoder backbone, in float32, eval mode, frozen. Raises
    `BackboneError` when it has no decoder."""
    from transformers import AutoModelForSeq2SeqLM

    if _model_type(folder) != "encoder-decoder":
        raise BackboneError(
            f"{folder} has no decoder, so it cannot write text; use a backbone whose recipe has "
            "seq2seq"
        )
    model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(
        folder, use_safetensors=True, dtype="float32"
    )
    model.get_encoder().pooler = None  # the class makes one that was never trained
    return model.eval().requires_grad_(False)


def untrained_seq2seq(folder: Path) -> PreTrainedModel:
    """A model of the shape of the encoder-decoder backbone in `folder`, with random weights, to be
    trained."""
    from transformers import AutoConfig, EncoderDecoderModel

    model: PreTrainedModel = EncoderDecoderModel(config=AutoConfig.from_pretrained(folder))
    model.get_encoder().pooler = None
    return model


def _model_type(folder: Path) -> str:
    from transformers import logging

    files = BackboneFiles(folder)
    files.require(files.config, files.weights, files.tokenizer)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return str(json.loads(files.config.read_text(encoding="utf-8")).get("model_type"))


def linear_sites(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer that can carry LoRA, by dotted name, in forward order of the module
    tree."""
    from torch import nn

    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
