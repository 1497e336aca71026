"""The layer that a head of transformers has before its last: RoBERTa's `dense`, BERT's pooler.
numpy only.

An imported head keeps it, so that it answers as it did there; heads that are trained here have
none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import AdapterError
from polygraft.tasks.serving import Floats

Pooling = Literal["mean", "first"]
"""What a head reads of the token states: their mean, or the first."""
Activation = Literal["tanh", "relu", "gelu"]
WEIGHT, BIAS = "hidden.weight", "hidden.bias"  # their names in a head's file
_erf = np.vectorize(math.erf, otypes=[np.float32])


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def _gelu(x: Floats) -> Floats:
    """x times the chance that a standard normal value lies below it (Hendrycks & Gimpel 2016)."""
    out: Floats = x * 0.5 * (1 + _erf(x / math.sqrt(2)))
    return out


ACTIVATIONS: dict[Activation, Callable[[Floats], Floats]] = {
    "tanh": np.tanh,
    "relu": _relu,
    "gelu": _gelu,
}


@dataclass(frozen=True)
class HiddenLayer:
    """`weight` [inner, hidden] and `bias` [inner], float32, and what follows them."""

    weight: Floats
    bias: Floats
    activation: Activation

    def __call__(self, pooled: Floats) -> Floats:
        """[rows, hidden] -> [rows, inner]."""
        return ACTIVATIONS[self.activation](pooled @ self.weight.T + self.bias)


def read_hidden_layer(
    tensors: Mapping[str, NDArray[Any]], activation: Activation, inner: int, name: str
) -> HiddenLayer:
    """The layer in the tensors of a head's file, before a last one that reads `inner` values.
    Raises `AdapterError` for one that does not fit."""
    weight, bias = tensors.get(WEIGHT), tensors.get(BIAS)
    if (
        weight is None
        or bias is None
        or weight.ndim != 2
        or weight.shape[1] == 0
        or weight.shape[0] != inner
        or bias.shape != (inner,)
    ):
        raise AdapterError(
            f"adapter {name!r}: its head has no {WEIGHT} [{inner}, hidden] and {BIAS} [{inner}] "
            f"before the {activation} that its manifest names; import it again"
        )
    return HiddenLayer(weight, bias, activation)
