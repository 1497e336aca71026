"""The lexical part of a classifier: TF-IDF over hashed words and character n-grams, and a linear
model on it. numpy only.

Stands in the head's file, under these names:

    lexical.features  [features] int32, ascending: those that training saw often enough
    lexical.idf       [features] float16
    lexical.weight    [features, labels] float16
    lexical.bias      [labels] float16
    lexical.usual     [1] float32: of hardly a text like those in training so few words are known
    join              [2] float32: the weights of the neural and of the lexical part's logits

`lexical.weight` and `lexical.bias` are centred over the labels, so that a value is what a feature
pushes towards a label against the others. What they add up to counts less in a text of which fewer
words are known than is usual (`Lexical.trust`): another language has hardly a word that was seen in
training, but a few n-grams, brought to unit length, and the bias would speak as loudly as a whole
text. Without it a spam filter with hundreds of rows has 74 macro-F1 in the three languages of the
spam sets that it was not trained on, with it 85 (its neural part alone 86), topics of SIB-200 33
and 41 (41); in the language itself 96.5 and 96.4, and 68.3 and 68.4. Tried: all features in place
of words (the same here, but a large vocabulary knows 43% of Swahili's n-grams by its English); and
the share itself in place of what is usual (langid lost 5 points). Where words are not set apart by
spaces hardly one is known, none is usual, and every text is trusted. Does not: fit it (see
`lexical_training`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
from polygraft.tasks.classification.manifest import GoldenLogits
from polygraft.tasks.classification.parts import NEURAL_ALONE, Join
from polygraft.tasks.serving import Floats

PREFIX, JOIN = "lexical.", "join"
FADING = 8
"""Power of what is known of a text, of what is usual. With 4 spam had 84 in the other
languages."""
TOLERANCE = 1e-3
"""Of the size of a golden's lexical logits: they are the same sums on every machine, up to their
order."""
Places = NDArray[np.int64]
_Halves = NDArray[np.float16]


@dataclass(frozen=True)
class KnownText:
    """What is known of a text: the places of its known features among those of a lexical part,
    their TF-IDF, words and n-grams each of unit length, and the share that is known of its words
    and pairs, by IDF; 1 of a text without words."""

    places: Places
    values: Floats
    share: float


@dataclass(frozen=True)
class KnownFeatures:
    """The features that are known, ascending, and their IDF."""

    features: Numbers
    idf: _Halves

    @cached_property
    def unknown_idf(self) -> float:
        """Of a feature that is not known: that of the rarest known."""
        return float(self.idf.max())

    def of(self, numbers: Numbers, counts: Counts) -> KnownText:
        """What is known of a text with these features: TF-IDF is `1 + ln count` times IDF."""
        places = self.features.searchsorted(numbers)
        np.minimum(places, len(self.features) - 1, out=places)
        known = self.features[places] == numbers
        words = int(numbers.searchsorted(BUCKETS))
        places, numbers = places[known], numbers[known]
        values = (1 + np.log(counts[known])) * self.idf[places]
        first_gram = int(numbers.searchsorted(BUCKETS))
        for group in (values[:first_gram], values[first_gram:]):
            if len(group):
                group /= np.sqrt(group @ group)
        amount = float(self.idf[places[:first_gram]].astype(np.float32).sum())
        whole = amount + (words - first_gram) * self.unknown_idf
        return KnownText(places, values, amount / whole if words else 1.0)


@dataclass(frozen=True)
class Lexical:
    """See the module."""

    vocabulary: KnownFeatures
    weight: _Halves
    bias: _Halves
    usual: float = 0.0

    def trust(self, share: float) -> float:
        """By what the logits of a text are multiplied of which this share is known."""
        return min(1.0, share / self.usual) ** FADING if self.usual else 1.0

    def logits(self, text: str) -> Floats:
        """[labels]; zeros, not the bias, for a text of which it knows nothing."""
        return self.logits_of(features(text))

    def logits_of(self, read: TextFeatures) -> Floats:
        """The same for a text whose features were read."""
        text = self.vocabulary.of(*read)
        if not len(text.places):
            return np.zeros(len(self.bias), np.float32)
        logits: Floats = text.values @ self.weight[text.places].astype(np.float32) + self.bias
        return np.float32(self.trust(text.share)) * logits

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """As a head's file keeps it."""
        return {
            f"{PREFIX}features": self.vocabulary.features,
            f"{PREFIX}idf": self.vocabulary.idf,
            f"{PREFIX}weight": self.weight,
            f"{PREFIX}bias": self.bias,
            f"{PREFIX}usual": np.array([self.usual], np.float32),
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
        _usual(tensors.get(f"{PREFIX}usual"), name),
    )


def _usual(tensor: NDArray[np.generic] | None, name: str) -> float:
    """0, so that every text is trusted, in adapters made before version 0.3."""
    if tensor is None:
        return 0.0
    if tensor.shape != (1,) or not 0 <= float(tensor[0]) <= 1:
        raise AdapterError(
            f"adapter {name!r}: {PREFIX}usual in its head is not one share from 0 to 1; train it "
            "again"
        )
    return float(tensor[0])


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


def compare_joined(name: str, join: Join, golden: GoldenLogits) -> None:
    """Raises `GoldenMismatch` where what both parts gave in training is not joined as it was; says
    nothing of goldens made before version 0.3."""
    if not golden.joined:
        return
    neural, then = np.array(golden.logits, np.float32), np.array(golden.joined, np.float32)
    by_words = np.array(golden.lexical, np.float32) if golden.lexical else None
    apart = float(np.abs(join.joined(neural, by_words) - then).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(then).max()))
    if not apart <= allowed:
        raise GoldenMismatch(
            f"adapter {name!r}: its parts are not joined as they were when it was trained "
            f"({apart:.4f} apart, allowed {allowed:.4f}); its head was changed: train it again"
        )
