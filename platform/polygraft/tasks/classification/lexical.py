"""The lexical part of a classifier: TF-IDF over hashed words and character n-grams, and a linear
model on it. numpy only.

Stands in the head's file, under these names:

    lexical.features  [features] int32, ascending: those that training saw often enough
    lexical.idf       [features] float16
    lexical.weight    [features, labels] float16
    lexical.bias      [labels] float16
    join              [2] float32: the weights of the neural and of the lexical part's logits

`lexical.weight` and `lexical.bias` are centred over the labels, so that a value is what a feature
pushes towards a label against the others. Does not: fit it (see `lexical_training`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.tasks.classification.features import (
    BUCKETS,
    HASH,
    Counts,
    Numbers,
    TextFeatures,
    features,
)
from polygraft.tasks.classification.parts import NEURAL_ALONE, Join
from polygraft.tasks.serving import Floats

PREFIX, JOIN = "lexical.", "join"
TOLERANCE = 1e-3
"""Of the size of a golden's lexical logits: they are the same sums on every machine, up to their
order."""
Places = NDArray[np.int64]
_Halves = NDArray[np.float16]


@dataclass(frozen=True)
class KnownFeatures:
    """The features that are known, ascending, and their IDF."""

    features: Numbers
    idf: _Halves

    def values(self, numbers: Numbers, counts: Counts) -> tuple[Places, Floats]:
        """Of a text's features, the places of those that are known and their TF-IDF: `1 + ln
        count` times IDF, words and n-grams each of unit length."""
        places = self.features.searchsorted(numbers)
        np.minimum(places, len(self.features) - 1, out=places)
        known = self.features[places] == numbers
        places, numbers = places[known], numbers[known]
        values = (1 + np.log(counts[known])) * self.idf[places]
        first_gram = int(numbers.searchsorted(BUCKETS))
        for group in (values[:first_gram], values[first_gram:]):
            if len(group):
                group /= np.sqrt(group @ group)
        return places, values


@dataclass(frozen=True)
class Lexical:
    """See the module."""

    vocabulary: KnownFeatures
    weight: _Halves
    bias: _Halves

    def logits(self, text: str) -> Floats:
        """[labels]; zeros, not the bias, for a text of which it knows nothing."""
        return self.logits_of(features(text))

    def logits_of(self, read: TextFeatures) -> Floats:
        """The same for a text whose features were read."""
        places, values = self.vocabulary.values(*read)
        if not len(places):
            return np.zeros(len(self.bias), np.float32)
        out: Floats = values @ self.weight[places].astype(np.float32) + self.bias
        return out

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """As a head's file keeps it."""
        return {
            f"{PREFIX}features": self.vocabulary.features,
            f"{PREFIX}idf": self.vocabulary.idf,
            f"{PREFIX}weight": self.weight,
            f"{PREFIX}bias": self.bias,
        }


def read_lexical(
    tensors: Mapping[str, NDArray[np.generic]], hashed_by: str, labels: int, name: str
) -> Lexical:
    """The lexical part in the tensors of a head's file. Raises `AdapterError` for one that was made
    with other features than this version reads, or of another number of labels."""
    if hashed_by != HASH:
        raise AdapterError(
            f"adapter {name!r}: its lexical part was made with features {hashed_by!r}, this "
            f"version reads {HASH!r}; train it again"
        )
    parts = [tensors.get(f"{PREFIX}{part}") for part in ("features", "idf", "weight", "bias")]
    shapes = [list(part.shape) if part is not None else "missing" for part in parts]
    numbers, idf, weight, bias = parts
    count = len(numbers) if numbers is not None and numbers.ndim == 1 else 0
    if not count or shapes[1:] != [[count], [count, labels], [labels]]:
        raise AdapterError(
            f"adapter {name!r}: its lexical part {shapes} does not fit its {labels} labels: wanted "
            f"are features [n], idf [n], weight [n, {labels}] and bias [{labels}]"
        )
    assert numbers is not None  # mypy does not see it in `shapes`
    assert idf is not None
    assert weight is not None
    assert bias is not None
    if numbers.dtype != np.int32 or (np.diff(numbers) <= 0).any():
        raise AdapterError(
            f"adapter {name!r}: the features of its lexical part are not ascending int32; save it "
            "again"
        )
    return Lexical(
        KnownFeatures(numbers.astype(np.int32), idf.astype(np.float16)),
        weight.astype(np.float16),
        bias.astype(np.float16),
    )


def read_join(tensors: Mapping[str, NDArray[np.generic]], name: str) -> Join:
    """How the parts are joined, by the tensors of a head's file; the neural part as it is where
    that has nothing of it. Raises `AdapterError`."""
    weights = tensors.get(JOIN)
    if weights is None:
        return NEURAL_ALONE
    if weights.shape != (2,) or float(np.min(weights)) < 0:
        raise AdapterError(
            f"adapter {name!r}: {JOIN} in its head is not two weights of 0 or more, of the neural "
            "and of the lexical part; train it again"
        )
    neural, lexical = weights.tolist()
    return Join(neural, lexical)


def compare_lexical(name: str, now: Floats, then: Floats) -> None:
    """Raises `GoldenMismatch` where the lexical part does not give what it gave in training:
    another hash, another normalisation of text, other weights."""
    apart, allowed = (
        float(np.abs(now - then).max()),
        TOLERANCE * max(1.0, float(np.abs(then).max())),
    )
    if not apart <= allowed:
        raise GoldenMismatch(
            f"adapter {name!r}: its lexical part does not give what it gave when it was trained "
            f"({apart:.4f} apart, allowed {allowed:.4f}); its files changed, or this version reads "
            "text in another way: train it again"
        )
