"""LoRA by peft: put on a frozen model, stacked on frozen adapters, saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from polygraft.architectures.folder import BackboneFiles
from polygraft.tasks.recipe import LoraRecipe
from polygraft.training.sites import pick_sites

OWN = "default"  # PEFT's name for the adapter that is trained


class TrainedOnly(nn.Module):
    """A module whose checkpoints hold the weights that are trained and do not repeat the
    backbone."""

    _keys_to_ignore_on_save = None  # the Trainer asks for it when it reloads the best checkpoint
    accepts_loss_kwargs = False  # `forward` takes the backbone's inputs as keywords, no others

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        return {k: v for k, v in super().state_dict(*args, **kwargs).items() if k in trained}


def adapt(
    model: PreTrainedModel, lora: LoraRecipe, sites: Sequence[str], parent: Path | None
) -> peft.PeftModel:
    """Put LoRA that is to be trained on `model`: the parent's, or a fresh one on those of `sites`
    that the recipe means."""
    if parent is not None:
        return peft.PeftModel.from_pretrained(model, parent, is_trainable=True)
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=pick_sites(lora, sites),
    )
    return peft.get_peft_model(model, config)


def set_stack(
    adapted: peft.PeftModel, stack: Sequence[Path], weights: Sequence[float] | None = None
) -> None:
    """Put the adapters in the folders `stack` under the trained one, frozen, each with its weight
    (1 when left out). They replace any stack set before; an empty `stack` leaves the trained
    adapter alone."""
    for name in [name for name in adapted.peft_config if name != OWN]:
        adapted.delete_adapter(name)
    names = [f"stack_{i}" for i in range(len(stack))]
    for name, folder in zip(names, stack, strict=True):
        adapted.load_adapter(folder, adapter_name=name)
    adapted.base_model.set_adapter([*names, OWN])
    if weights is not None:
        for layer in adapted.modules():
            if isinstance(layer, LoraLayer):
                for name, weight in zip(names, weights, strict=True):
                    layer.set_scale(name, weight)
    for parameter_name, parameter in adapted.named_parameters():
        if any(f".{name}." in parameter_name for name in names):
            parameter.requires_grad = False


def save_lora(adapted: peft.PeftModel, folder: Path, backbone: Path) -> None:
    """Write PEFT's two files, of the trained adapter alone. The config names the backbone, not
    where it lies here."""
    config = adapted.peft_config[OWN]
    config.inference_mode, config.base_model_name_or_path = True, BackboneFiles(backbone).name
    # Left to itself, PEFT asks the Hub for a model of that name, to see whether the vocabulary has
    # grown; ours never does.
    adapted.save_pretrained(
        folder, safe_serialization=True, selected_adapters=[OWN], save_embedding_layers=False
    )
