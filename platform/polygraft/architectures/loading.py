"""A backbone's weights as its real transformers class: the encoder, or the whole of an
encoder-decoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.registry import family_of
from polygraft.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def load_backbone(folder: Path) -> PreTrainedModel:
    """The backbone in float32, eval mode, frozen; of an encoder-decoder its encoder. Reads
    safetensors only."""
    _ready(folder)
    return family_of(folder).load_encoder(folder)


def load_seq2seq(folder: Path) -> PreTrainedModel:
    """The whole of an encoder-decoder backbone, in float32, eval mode, frozen. Raises
    `BackboneError` when it has no decoder."""
    _ready(folder)
    if not BackboneFiles(folder).read_config().get("is_encoder_decoder"):
        raise BackboneError(
            f"{folder} has no decoder, so it cannot write text; use a backbone whose recipe has "
            "seq2seq"
        )
    return family_of(folder).load_seq2seq(folder)


def untrained_seq2seq(folder: Path) -> PreTrainedModel:
    """A model of the shape of the encoder-decoder backbone in `folder`, with random weights, to be
    trained."""
    _ready(folder)
    return family_of(folder).untrained_seq2seq(folder)


def _ready(folder: Path) -> None:
    from transformers import logging

    files = BackboneFiles(folder)
    files.require(files.config, files.weights, files.tokenizer)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def linear_sites(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer that can carry LoRA, by dotted name, in forward order of the module tree:
    all but the product with the output vocabulary."""
    from torch import nn

    outputs = getattr(model, "get_output_embeddings", lambda: None)()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not outputs
    }
