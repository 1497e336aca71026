"""How well vectors find translations: of each pair, whether the one is the nearest of all to the
other, both ways. numpy only, but for TF-IDF.

Texts that are the same count as one: where two pairs share a side, either answer is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from polygraft.tasks.serving import Floats

Hits = NDArray[np.bool_]
CHUNK = 1_024  # rows compared with all others at once


def hits(sources: Floats, targets: Floats, pairs: Sequence[tuple[str, str]]) -> Hits:
    """Whether source i finds target i, and whether target i finds source i: [2 * pairs]. Vectors
    are of unit length, [pairs, any]."""
    ahead, back = (list(side) for side in zip(*pairs, strict=True))
    return np.concatenate([_found(sources, targets, back), _found(targets, sources, ahead)])


def tfidf_hits(pairs: Sequence[tuple[str, str]]) -> Hits:
    """The same by TF-IDF over character n-grams: what names and numbers alone find."""
    ahead, back = (list(side) for side in zip(*pairs, strict=True))
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
    features.fit([*ahead, *back])
    sources, targets = (features.transform(side) for side in (ahead, back))
    likeness = np.asarray((sources @ targets.T).todense(), np.float32)
    return np.concatenate(
        [_same(likeness.argmax(axis=1), back), _same(likeness.argmax(axis=0), ahead)]
    )


def _found(asked: Floats, among: Floats, texts: Sequence[str]) -> Hits:
    nearest = [
        (asked[start : start + CHUNK] @ among.T).argmax(axis=1)
        for start in range(0, len(asked), CHUNK)
    ]
    return _same(np.concatenate(nearest), texts)


def _same(found: NDArray[np.int64], texts: Sequence[str]) -> Hits:
    return np.array([texts[place] == text for place, text in zip(found, texts, strict=True)])
