"""Labels that look like mistakes: misspelt ones, and ones that no held-out row has. Does not: read
files, or refuse anything (see `tasks/classification/data.py`)."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from polygraft.data.splits import rows_in_words

RARE = 0.1
"""A label with at most this share of the rows of one spelt like it may be that one misspelt."""


def near_label(label: str, labels: Sequence[str]) -> str | None:
    """The one of `labels` that is spelt most like `label`: of the same letters, whatever their
    order and case, or nearly alike; None where there is none."""
    others = [other for other in labels if other != label]
    for other in others:
        if sorted(letters_of(other)) == sorted(letters_of(label)) != []:
            return other
    return next(iter(difflib.get_close_matches(label, others, n=1, cutoff=0.8)), None)


def suspicious(train: Sequence[str], held_out: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence on each label of the `train` rows that looks like a mistake. `held_out` has the
    labels of the rows of each other split."""
    counts = Counter(train)
    doubts = []
    for label, count in sorted(counts.items()):
        near = near_label(label, list(counts))
        if near and (count <= RARE * counts[near] or _twins(label, near, counts)):
            doubts.append(
                f"train: label {label!r} has {rows_in_words(count)} and {near!r} "
                f"{rows_in_words(counts[near])}; if it is a misspelling, correct it"
            )
        elif count == 1:
            doubts.append(
                f"train: label {label!r} has one row, too few to learn it from; add some, or leave "
                "it out"
            )
        missing = [name for name, labels in held_out.items() if label not in labels]
        if missing:
            doubts.append(
                f"{' and '.join(missing)}: no row has label {label!r}, so nothing is known about it"
            )
    return doubts


def letters_of(label: str) -> str:
    """A label without case and punctuation."""
    return "".join(c for c in label.casefold() if c.isalnum())


def _twins(label: str, near: str, counts: Mapping[str, int]) -> bool:
    """Whether both are the same letters, and `label` the one to be told of: the rarer."""
    return letters_of(label) == letters_of(near) and (counts[label], label) < (counts[near], near)
