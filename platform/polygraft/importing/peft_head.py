"""The head of transformers' sequence classifiers, as PEFT keeps it beside LoRA (`modules_to_save`),
written as a head that is served: what it reads, a layer with its activation, the last layer.

Does not: average several windows of a text; such heads read its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from polygraft.adapters.arrays import Floats
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.registry import encoder_config
from polygraft.errors import AdapterError, shortened
from polygraft.tasks.classification.hidden_layer import (
    ACTIVATIONS,
    BIAS,
    WEIGHT,
    Activation,
    HiddenLayer,
    Pooling,
)
from polygraft.tasks.classification.serving import Head

NAMED = re.compile(
    r"(?:\w+\.)*?(?P<layer>pooler\.dense|pre_classifier|classifier\.dense|classifier\.out_proj|"
    r"classifier|score)(?:\.(?:modules_to_save|default))*\.(?P<part>weight|bias)"
)
LAST = ("classifier.out_proj", "classifier", "score")
BEFORE: dict[str, dict[str, Activation]] = {
    "classifier.dense": {
        **dict.fromkeys(("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert"), "tanh"),
        **dict.fromkeys(("mpnet", "xmod"), "tanh"),
        "electra": "gelu",
    },
    "pooler.dense": {"bert": "tanh", "rembert": "tanh", "ernie": "tanh", "deberta-v2": "gelu"},
    "pre_classifier": {"distilbert": "relu"},
}
"""What follows the layer before the last, by `model_type`. All of these read the first token."""


@dataclass(frozen=True)
class PeftHead:
    """`head` on what `pooling` says."""

    head: Head
    pooling: Pooling

    @property
    def tensors(self) -> dict[str, Floats]:
        """As a head's file has them."""
        tensors = {"weight": self.head.weight, "bias": self.head.bias}
        if self.head.hidden:
            tensors |= {WEIGHT: self.head.hidden.weight, BIAS: self.head.hidden.bias}
        return tensors

    @property
    def activation(self) -> Activation | None:
        return self.head.hidden.activation if self.head.hidden else None


def read_head(
    others: Mapping[str, Floats], backbone: Path, pooling: Pooling | None, named: str
) -> PeftHead | None:
    """The head among the tensors that the adapter `named` brings beside LoRA; None where there are
    none. `pooling`: what a head of one layer reads, which its tensors do not say.

    Raises `AdapterError` for tensors that are no head's, and for a head that reads what this
    backbone does not give.
    """
    layers: dict[str, dict[str, Floats]] = {}
    strange = list[str]()
    for name, value in others.items():
        if match := NAMED.fullmatch(name):
            layers.setdefault(match["layer"], {})[match["part"]] = value
        elif ".original_module." not in name:
            strange.append(name)
    if strange:
        raise AdapterError(
            f"{named} replaces {', '.join(map(shortened, sorted(strange)[:3]))} of its base ("
            + f"{len(strange)} tensors), and the backbone's weights stay as they are for all "
            "adapters; train it with no modules_to_save but the head"
        )
    if not layers:
        return None
    last = next((layers.pop(name) for name in LAST if name in layers), None)
    if last is None or "weight" not in last or len(layers) > 1:
        raise AdapterError(
            f"{named} has a head of {', '.join(sorted(layers)) or 'a bias alone'}, which is none "
            "of transformers' sequence classifiers that are known here"
        )
    config = encoder_config(backbone)
    if layers:
        ((before, tensors),) = layers.items()
        return _of_two_layers(before, tensors, last, config, named)
    if pooling is not None:
        return PeftHead(Head(last["weight"], _bias(last)), pooling)
    pooler = _pooler_of(backbone) if config.get("model_type") in BEFORE["pooler.dense"] else {}
    if not pooler:
        raise AdapterError(
            f"{named} has a head of one layer and not what lies before it in its base (a pooler); "
            "keep that by modules_to_save in training, or say what the layer reads with --pooling "
            "mean or first"
        )
    return _of_two_layers("pooler.dense", pooler, last, config, named)


def _of_two_layers(
    before: str,
    tensors: Mapping[str, Floats],
    last: Mapping[str, Floats],
    config: Mapping[str, Any],
    named: str,
) -> PeftHead:
    kind = str(config.get("model_type"))
    activation = BEFORE[before].get(kind)
    stated = config.get("pooler_hidden_act") if before == "pooler.dense" else None
    if stated in ACTIVATIONS:
        activation = stated
    if activation is None or "weight" not in tensors or stated not in (None, *ACTIVATIONS):
        raise AdapterError(
            f"{named} has {before} before its last layer, and what follows that in a model of type "
            f"{kind} is not known here; train its head anew with `polygraft train`"
        )
    hidden = HiddenLayer(tensors["weight"], _bias(tensors), activation)
    return PeftHead(Head(last["weight"], _bias(last), hidden=hidden), "first")


def _bias(layer: Mapping[str, Floats]) -> Floats:
    return layer.get("bias", np.zeros(len(layer["weight"]), np.float32))


def _pooler_of(backbone: Path) -> dict[str, Floats]:
    """The base's own pooler, where the backbone was imported with it."""
    with safe_open(BackboneFiles(backbone).weights, "pt") as file:
        names = set(file.keys())
        return {
            part: file.get_tensor(f"pooler.dense.{part}").float().numpy()
            for part in ("weight", "bias")
            if f"pooler.dense.{part}" in names
        }
