"""LoRA on the encoder of a model whose decoder is trained with it: it is added before the first
phase and removed after the last.

The encoder itself never changes, so other adapters, trained on it alone, stay valid.
"""

from __future__ import annotations

from pathlib import Path

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import EncoderDecoderModel

from polygraft.adapters.format import LAYOUT
from polygraft.architectures.loading import linear_sites
from polygraft.tasks.recipe import LoraRecipe
from polygraft.training.lora import adapt, save_lora


def add_lora(model: EncoderDecoderModel, lora: LoraRecipe, seed: int) -> peft.PeftModel:
    """Freeze the encoder of `model` and put untrained LoRA (an update of zero) on the sites that
    `lora` names, in place.

    Returns what `save_and_remove_lora` needs. The model keeps its encoder: generation asks that for
    the names of its inputs, which PEFT's wrapper hides.
    """
    torch.manual_seed(seed)
    return adapt(model.encoder, lora, list(linear_sites(model.encoder)), None)


def has_lora(model: EncoderDecoderModel) -> bool:
    """Whether the model's encoder has LoRA on it."""
    return any(isinstance(module, LoraLayer) for module in model.encoder.modules())


def adapter_weights(model: EncoderDecoderModel) -> list[nn.Parameter]:
    """The LoRA matrices that are trained; none without an adapter."""
    return [p for name, p in model.encoder.named_parameters() if "lora_" in name]


def save_and_remove_lora(adapted: peft.PeftModel, folder: Path, backbone: Path) -> None:
    """Write the LoRA into `folder`, in PEFT's format, for the encoder of `backbone` alone, and
    remove it from the model, in place."""
    folder.mkdir(parents=True, exist_ok=True)
    save_lora(adapted, folder, backbone)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's template of a card, empty
    for file in (LAYOUT.peft_config, LAYOUT.weights):
        (folder / file).chmod(0o644)
    adapted.unload()
