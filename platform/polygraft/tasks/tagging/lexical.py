"""The lexical part of a tagger: a weight for every feature of a word and every tag. numpy only.

Stands in the head's file, under these names:

    lexical.features  [features] int32, ascending: those that training saw often enough
    lexical.weight    [features, tags] float16

A word's emissions are the sum of its known features' weights. Does not: fit them (see `fit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import AdapterError
from polygraft.tasks.serving import Floats
from polygraft.tasks.tagging.features import HASH, Numbers, features

PREFIX = "lexical."


@dataclass(frozen=True)
class Lexical:
    """See the module. `weight` has one row more, of zeros: that of every feature that is not
    known, whose place is -1."""

    known: Numbers
    weight: Floats

    @classmethod
    def of(cls, known: Numbers, weight: NDArray[Any]) -> Lexical:
        """Of the weights [features, tags] of the known features, in the precision that a file
        keeps."""
        rounded = weight.astype(np.float16).astype(np.float32)
        return cls(known, np.concatenate([rounded, np.zeros((1, weight.shape[1]), np.float32)]))

    def emissions(self, words: Sequence[str]) -> Floats:
        """[words, tags] of a text's words."""
        summed: Floats = self.weight[places_of(features(words), self.known)].sum(axis=1)
        return summed

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As a head's file keeps it."""
        return {
            f"{PREFIX}features": self.known,
            f"{PREFIX}weight": self.weight[:-1].astype(np.float16),
        }


def places_of(numbers: Numbers, known: Numbers) -> NDArray[np.int64]:
    """The place of each feature among those that are known, which are ascending; -1: it is not."""
    places = known.searchsorted(numbers)
    np.minimum(places, len(known) - 1, out=places)
    places[known[places] != numbers] = -1
    return places.astype(np.int64)


def read_lexical(
    tensors: Mapping[str, NDArray[Any]], hashed_by: str, tags: int, name: str
) -> Lexical:
    """The lexical part in the tensors of a head's file. Raises `AdapterError` for one that was made
    with other features than this version reads, or of another number of tags."""
    if hashed_by != HASH:
        raise AdapterError(
            f"adapter {name!r}: its lexical part was made with features {hashed_by!r}, this "
            f"version reads {HASH!r}; train it again"
        )
    known, weight = (tensors.get(f"{PREFIX}{part}") for part in ("features", "weight"))
    if (
        known is None
        or weight is None
        or known.ndim != 1
        or not len(known)
        or weight.shape != (len(known), tags)
        or known.dtype != np.int32
        or (known[1:] <= known[:-1]).any()
    ):
        raise AdapterError(
            f"adapter {name!r}: its lexical part does not fit: wanted are features [n], int32 and "
            f"ascending, and weight [n, {tags}]; train it again"
        )
    return Lexical.of(known.astype(np.int32), weight)
