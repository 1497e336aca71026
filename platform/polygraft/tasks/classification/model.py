"""The model that is trained: frozen backbone, LoRA by peft, a linear head on the mean of the token
states."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from polygraft.adapters.format import LAYOUT
from polygraft.architectures.loading import load_backbone
from polygraft.tasks.classification.lexical import JOIN, Lexical
from polygraft.tasks.classification.parts import NEURAL_ALONE, Join
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.training.batches import tensors
from polygraft.training.lora import TrainedOnly, adapt, save_lora, set_stack
from polygraft.training.speed import quick_attention
from polygraft.training.vectors import pool


class Classifier(TrainedOnly):
    """A backbone with LoRA and a head; for multi-task training further heads, `others`. `forward`
    takes int64 [rows, seq] tensors and returns `loss` and `logits`."""

    def __init__(
        self, adapted: peft.PeftModel, labels: int, class_weights: Sequence[float] | None
    ) -> None:
        super().__init__()
        self.adapted = adapted
        self.head = _fresh_head(adapted, labels)
        self.class_weights = _or_ones(class_weights, labels)
        self.others = nn.ModuleList()
        self.other_names = list[str]()
        self.other_weights = list[torch.Tensor]()

    def add_head(self, name: str, labels: int, class_weights: Sequence[float] | None) -> None:
        """Add a head for another task, whose rows have `task` 1 for the first one added, 2 for the
        next ..."""
        self.others.append(_fresh_head(self.adapted, labels))
        self.other_names.append(name)
        self.other_weights.append(_or_ones(class_weights, labels))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        task: torch.Tensor | None = None,
        **inputs: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """`weights` float [rows] is what each row counts in the loss; `task` int64 [rows] which
        head it is for (0: this adapter's own); `inputs` what else the family reads. The logits are
        those of the adapter's own head."""
        states = self.adapted(
            input_ids=input_ids, attention_mask=attention_mask, **inputs
        ).last_hidden_state
        pooled = pool(states.float(), attention_mask)
        logits = self.head(pooled)
        if labels is None:
            return {"logits": logits}
        weights = torch.ones(len(labels), device=labels.device) if weights is None else weights
        task = torch.zeros_like(labels) if task is None else task
        loss, total = pooled.new_zeros(()), pooled.new_zeros(())
        heads = [
            (self.head, self.class_weights),
            *zip(self.others, self.other_weights, strict=True),
        ]
        for number, (head, class_weights) in enumerate(heads):
            rows = task == number
            row_weights = weights[rows] * class_weights.to(labels.device)[labels[rows]]
            losses = nn.functional.cross_entropy(head(pooled[rows]), labels[rows], reduction="none")
            loss = loss + (row_weights * losses).sum()
            total = total + row_weights.sum()
        return {"loss": loss / total, "logits": logits}


def _fresh_head(adapted: peft.PeftModel, labels: int) -> nn.Linear:
    head = nn.Linear(adapted.config.hidden_size, labels)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def _or_ones(class_weights: Sequence[float] | None, labels: int) -> torch.Tensor:
    return torch.ones(labels) if class_weights is None else torch.tensor(class_weights)


def build(
    recipe: ClassificationRecipe,
    backbone: Path,
    sites: Sequence[str],
    labels: Sequence[str],
    class_weights: Sequence[float] | None,
    parent: Path | None,
    parent_labels: Sequence[str] | None,
    stack: Sequence[Path] = (),
) -> Classifier:
    """A fresh classifier, or one that starts from `parent`'s LoRA (and head, when the labels are
    the same), on top of the frozen adapters `stack`."""
    model = quick_attention(load_backbone(backbone))
    adapted = adapt(model, recipe.lora, sites, parent)
    set_stack(adapted, stack)
    classifier = Classifier(adapted, len(labels), class_weights)
    if parent is not None and knows(parent_labels, labels):
        theirs = load_file(parent / LAYOUT.head)
        rows = [list(parent_labels or []).index(label) for label in labels]
        classifier.head.load_state_dict({name: theirs[name][rows] for name in ("weight", "bias")})
    return classifier


def knows(parent_labels: Sequence[str] | None, labels: Sequence[str]) -> bool:
    """Whether the parent's head has every one of the labels."""
    return parent_labels is not None and set(labels) <= set(parent_labels)


def save(
    classifier: Classifier,
    folder: Path,
    backbone: Path,
    lexical: Lexical | None = None,
    join: Join = NEURAL_ALONE,
) -> None:
    """Write PEFT's two files and the head into `folder`: the neural part, the lexical part if there
    is one, and how they are joined."""
    save_lora(classifier.adapted, folder, backbone)
    heads: dict[str, nn.Module] = {"": classifier.head}
    for task, head in zip(classifier.other_names, classifier.others, strict=True):
        heads[f"{task}."] = head
    tensors = {
        f"{prefix}{name}": parameter.detach().float().cpu().contiguous()
        for prefix, head in heads.items()
        for name, parameter in head.named_parameters()
    }
    tensors[JOIN] = torch.tensor([join.neural, join.lexical])
    if lexical is not None:
        tensors |= {name: torch.from_numpy(array) for name, array in lexical.tensors().items()}
    save_file(tensors, folder / LAYOUT.head)


@torch.no_grad()
def logits_of(
    classifier: Classifier,
    batches: Sequence[dict[str, Any]],
    *,
    bare: bool = False,
    head: nn.Module | None = None,
) -> np.ndarray:
    """Logits [rows, labels] of padded numpy batches, by the classifier's own head or by `head`;
    `bare` switches the LoRA off."""
    classifier.eval()
    logits = []
    for batch in batches:
        inputs = tensors(batch)
        with classifier.adapted.disable_adapter() if bare else contextlib.nullcontext():
            states = classifier.adapted(**inputs).last_hidden_state
        with torch.autocast("cpu", enabled=False):
            pooled = pool(states.float(), inputs["attention_mask"])
            logits.append((head or classifier.head)(pooled))
    return torch.cat(logits).float().numpy()
