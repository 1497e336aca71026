"""The model that is trained: frozen backbone, LoRA by peft, a linear head on the mean of the token states."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from polygraft.adapter import LAYOUT
from polygraft.backbone import BackboneFiles, linear_sites, load_backbone, load_seq2seq
from polygraft.errors import RecipeError
from polygraft.recipe import LoraRecipe, Recipe
from polygraft.training.speed import quick_attention

OWN = "default"  # PEFT's name for the adapter that is trained


class TrainedOnly(nn.Module):
    """A module whose checkpoints hold what is trained and do not repeat the backbone."""

    _keys_to_ignore_on_save = None  # the Trainer asks for it when it reloads the best checkpoint

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        return {k: v for k, v in super().state_dict(*args, **kwargs).items() if k in trained}


class Classifier(TrainedOnly):
    """LoRA on a backbone and a head. `forward` takes int64 [rows, seq] tensors and returns `loss` and `logits`."""

    def __init__(self, adapted: peft.PeftModel, labels: int, class_weights: Sequence[float] | None) -> None:
        super().__init__()
        self.adapted = adapted
        self.head, self.class_weights = _fresh_head(adapted, labels), _or_ones(class_weights, labels)
        self.others, self.other_weights, self.other_names = nn.ModuleList(), list[torch.Tensor](), list[str]()

    def add_head(self, name: str, labels: int, class_weights: Sequence[float] | None) -> None:
        """A head for another task, whose rows have `task` 1 for the first one added, 2 for the next ..."""
        self.others.append(_fresh_head(self.adapted, labels))
        self.other_names.append(name)
        self.other_weights.append(_or_ones(class_weights, labels))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor,
        labels: torch.Tensor | None = None, weights: torch.Tensor | None = None, task: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:  # fmt: skip
        """`weights` float [rows]: of each row in the loss; `task` int64 [rows]: which head it is for (0: this adapter's own).
        The logits are its own head's."""
        states = self.adapted(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        pooled = pool(states.float(), attention_mask)
        logits = self.head(pooled)
        if labels is None:
            return {"logits": logits}
        counts = torch.ones(len(labels), device=labels.device) if weights is None else weights
        task = torch.zeros_like(labels) if task is None else task
        loss, total = pooled.new_zeros(()), pooled.new_zeros(())
        heads = [(self.head, self.class_weights), *zip(self.others, self.other_weights, strict=True)]
        for number, (head, class_weights) in enumerate(heads):
            mine = task == number
            of_row = counts[mine] * class_weights.to(labels.device)[labels[mine]]
            losses = nn.functional.cross_entropy(head(pooled[mine]), labels[mine], reduction="none")
            loss, total = loss + (of_row * losses).sum(), total + of_row.sum()
        return {"loss": loss / total, "logits": logits}


def _fresh_head(adapted: peft.PeftModel, labels: int) -> nn.Linear:
    head = nn.Linear(adapted.config.hidden_size, labels)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def _or_ones(class_weights: Sequence[float] | None, labels: int) -> torch.Tensor:
    return torch.ones(labels) if class_weights is None else torch.tensor(class_weights)


def pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over unmasked tokens: [rows, seq, hidden], [rows, seq] -> [rows, hidden]."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def pick_sites(lora: LoraRecipe, available: Sequence[str]) -> list[str]:
    """The sites a recipe means. Raises `RecipeError` for an ending that matches none."""
    available = in_layers(available, lora.layers)
    if lora.sites == "all":
        return available
    endings = [lora.sites] if isinstance(lora.sites, str) else lora.sites
    unmatched = [e for e in endings if not any(s == e or s.endswith(f".{e}") for s in available)]
    if unmatched:
        shown = sorted({s.split(".", 3)[-1] for s in available})
        raise RecipeError("recipe", [f"lora.sites: {e!r} matches no site; sites end in {shown}" for e in unmatched])
    return [s for s in available if any(s == e or s.endswith(f".{e}") for e in endings)]


def in_layers(sites: Sequence[str], layers: Sequence[int] | None) -> list[str]:
    """Those of the sites that are in one of the layers; None: all. Raises `RecipeError` for a layer without any."""
    if layers is None:
        return list(sites)
    by_layer = {layer: [s for s in sites if re.search(rf"(^|\.)layers?\.{layer}\.", s)] for layer in layers}
    empty = [layer for layer, found in by_layer.items() if not found]
    if empty:
        raise RecipeError("recipe", [f"lora.layers: the backbone has no layer {', '.join(map(str, empty))}"])
    return [s for s in sites if any(s in found for found in by_layer.values())]


def build(
    recipe: Recipe, backbone: Path, sites: Sequence[str], labels: Sequence[str],
    class_weights: Sequence[float] | None, parent: Path | None, parent_labels: Sequence[str] | None,
    under: Sequence[Path] = (),
) -> Classifier:  # fmt: skip
    """A fresh classifier, or one that starts from `parent`'s LoRA (and head, when the labels are the same), on top of the
    frozen adapters `under`."""
    model = quick_attention(load_backbone(backbone))
    adapted = adapt(model, recipe.lora, sites, parent)
    put_under(adapted, under)
    classifier = Classifier(adapted, len(labels), class_weights)
    if parent is not None and list(parent_labels or []) == list(labels):
        theirs = load_file(parent / LAYOUT.head)
        classifier.head.load_state_dict({name: theirs[name] for name in ("weight", "bias")})
    return classifier


def adapt(model: PreTrainedModel, lora: LoraRecipe, sites: Sequence[str], parent: Path | None) -> peft.PeftModel:
    """`model` with LoRA to be trained: fresh, on those of the sites that the recipe means, or the parent's."""
    if parent is not None:
        return peft.PeftModel.from_pretrained(model, parent, is_trainable=True)
    config = peft.LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pick_sites(lora, sites))
    return peft.get_peft_model(model, config)


def put_under(adapted: peft.PeftModel, under: Sequence[Path], weights: Sequence[float] | None = None) -> None:
    """Let the adapters in these folders count too, in place of any before, frozen, each with its weight (1 when left out).
    None: only its own counts."""
    for name in [name for name in adapted.peft_config if name != OWN]:
        adapted.delete_adapter(name)
    names = [f"under_{i}" for i in range(len(under))]
    for name, folder in zip(names, under, strict=True):
        adapted.load_adapter(folder, adapter_name=name)
    adapted.base_model.set_adapter([*names, OWN])
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            for name, weight in zip(names, weights or [], strict=False):
                layer.set_scale(name, weight)
    for name, parameter in adapted.named_parameters():
        if any(f".{other}." in name for other in names):
            parameter.requires_grad = False


def save(classifier: Classifier, folder: Path, backbone: Path) -> None:
    """Write PEFT's two files and the head into `folder`."""
    save_lora(classifier.adapted, folder, backbone)
    heads = {"": classifier.head} | {f"{n}.": h for n, h in zip(classifier.other_names, classifier.others, strict=True)}
    tensors = {f"{task}{n}": p.detach().float().cpu() for task, head in heads.items() for n, p in head.named_parameters()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / LAYOUT.head)


def save_lora(adapted: peft.PeftModel, folder: Path, backbone: Path) -> None:
    """Write PEFT's two files, of the trained adapter alone. The config names the backbone, not where it lies here."""
    config = adapted.peft_config[OWN]
    config.inference_mode, config.base_model_name_or_path = True, BackboneFiles(backbone).name
    # Left to itself, PEFT asks the Hub for a model of that name, to see whether the vocabulary has grown; ours never does.
    adapted.save_pretrained(folder, safe_serialization=True, selected_adapters=[OWN], save_embedding_layers=False)


@torch.no_grad()
def logits_of(
    classifier: Classifier, batches: Sequence[dict[str, Any]], *, bare: bool = False, head: nn.Module | None = None
) -> np.ndarray:
    """Logits [rows, labels] of padded numpy batches, of its own head or of `head`; `bare` switches the LoRA off."""
    classifier.eval()
    out = []
    for batch in batches:
        inputs = {name: torch.from_numpy(value) for name, value in batch.items()}
        with classifier.adapted.disable_adapter() if bare else contextlib.nullcontext():
            states = classifier.adapted(**inputs).last_hidden_state
        out.append((head or classifier.head)(pool(states, inputs["attention_mask"])))
    return torch.cat(out).float().numpy()


def whole_site_names(backbone: Path) -> list[str]:
    """The same of an encoder-decoder, its decoder's too."""
    return list(linear_sites(load_seq2seq(backbone)))


def site_names(backbone: Path) -> list[str]:
    """Every linear layer of the backbone, loaded for its names."""
    return list(linear_sites(load_backbone(backbone)))
