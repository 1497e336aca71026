"""The words and n-grams that push most towards each label, found by reading texts.

An adapter keeps numbers of features, not the features (see `features`): which they are is seen in
the texts that have them. So what stands in no text on hand is not found, and two features of one
number would be told by the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from polygraft.tasks.classification.features import (
    BUCKETS,
    WORD,
    Occurrences,
    gram_spans,
    normalised,
)
from polygraft.tasks.classification.lexical import Lexical
from polygraft.tasks.serving import Floats

COUNT, MAX_TEXTS, MIN_TEXTS = 8, 5_000, 2
SPACE = "\N{OPEN BOX}"


def strongest(lexical: Lexical, labels: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Ready for JSON: of each label the `COUNT` words (and pairs) and n-grams in at least
    `MIN_TEXTS` texts with the largest IDF times weight, what one occurrence pushes before a text's
    length is taken out; and how many texts were read, every n-th of those given."""
    read = texts[:: -(-len(texts) // MAX_TEXTS) or 1]
    names, counts = _names(lexical, read)
    enough = min(MIN_TEXTS, len(read))
    numbers = np.array([n for n in sorted(names) if counts[n] >= enough], np.int64)
    places = np.searchsorted(lexical.vocabulary.features, numbers)
    pushes = lexical.weight[places].astype(np.float32)
    pushes *= lexical.vocabulary.idf[places, None].astype(np.float32)
    is_word = numbers < BUCKETS
    by_label = {
        label: {
            kind: _best([names[n] for n in numbers[of_kind]], pushes[of_kind, place], edge)
            for kind, of_kind, edge in (("words", is_word, " "), ("ngrams", ~is_word, ""))
        }
        for place, label in enumerate(labels)
    }
    return {"read": len(read), "texts": len(texts), "labels": by_label}


def _names(lexical: Lexical, texts: Sequence[str]) -> tuple[dict[int, str], Counter[int]]:
    """What each known feature is that occurs in `texts`, and in how many of them."""
    known = np.zeros(2 * BUCKETS, bool)
    known[lexical.vocabulary.features] = True
    names, counts = dict[int, str](), Counter[int]()
    for text in texts:
        numbers = Occurrences(text).numbers
        pieces = _pieces(text)
        occurring = np.flatnonzero(known[numbers])
        for place in occurring:
            names.setdefault(int(numbers[place]), pieces[place])
        counts.update({int(n) for n in numbers[occurring]})
    return names, counts


def _pieces(text: str) -> list[str]:
    """What each of a text's occurrences is, in their order: words, pairs, n-grams."""
    words, grams = list[str](), list[str]()
    for chunk in text.split():
        read = normalised(chunk)
        words += WORD.findall(read)
        padded = f" {read} "
        grams += [padded[start:end].replace(" ", SPACE) for start, end in gram_spans(read)]
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    return [*words, *pairs, *grams]


def _best(names: Sequence[str], pushes: Floats, edge: str) -> list[list[Any]]:
    """Name and push of the strongest, without those that are a part of a stronger one, or have it
    in them: "fre", "free" and "free!" would say one thing three times. `edge` is what parts stand
    between."""
    best: list[list[Any]] = []
    for place in np.argsort(-pushes, kind="stable"):
        if len(best) == COUNT or pushes[place] <= 0:
            break
        name = f"{edge}{names[place]}{edge}"
        taken = [f"{edge}{other}{edge}" for other, _ in best]
        if not any(name in other or other in name for other in taken):
            best.append([names[place], round(float(pushes[place]), 3)])
    return best
