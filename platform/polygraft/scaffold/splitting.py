"""Rows cut into train, dev and test: labels in the same proportions, near-equal texts on one side.

Whoever cuts at random has copies of a text on both sides, and measures what was learnt by heart.
Does not: read or write files.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from polygraft.data.leaks import near_equal_groups
from polygraft.errors import DataError

MANY = 200
"""Rows of the rarest label from which a tenth is enough for each held-out split; a fifth below."""
FEWEST, FEWEST_OF_ONE = 10, 5
"""Rows that can be cut at all, and rows of the commonest label among them."""


def split(
    texts: Sequence[Sequence[str]],
    labels: Sequence[str],
    wanted: Sequence[str],
    held_out: Sequence[Sequence[str]],
    seed: int,
) -> dict[str, list[int]]:
    """The numbers of the rows of train and of each split `wanted`.

    `texts` has the texts of each row: one, or the sides of a pair. Rows that are near-equal to one
    of the `held_out` texts, of splits that are there already, stay in train, where they are looked
    at as leaks; so does a label whose rows would all be held out. Raises `DataError` for too few
    rows.
    """
    groups = groups_of([*texts, *held_out])
    taken = set(groups[len(texts) :].tolist())
    groups = groups[: len(texts)]
    rest = [row for row, group in enumerate(groups.tolist()) if group not in taken]
    fixed = sorted(set(range(len(texts))) - set(rest))
    counts = Counter(labels[row] for row in rest)
    if len(rest) < FEWEST or max(counts.values()) < FEWEST_OF_ONE:
        raise DataError("the rows", [_too_few(len(texts), len(rest), counts, wanted)])
    parts = 10 if min(counts.values()) >= MANY else 5
    splits = dict[str, list[int]]()
    for name in wanted:
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a label has fewer rows than folds
            kept, out = next(folds.split(rest, [labels[row] for row in rest], groups[rest]))
        splits[name] = [rest[place] for place in out]
        rest, parts = [rest[place] for place in kept], parts - 1
    splits = {"train": sorted([*rest, *fixed])} | splits
    for label in set(labels) - {labels[row] for row in splits["train"]}:
        _back_to_train(
            splits, {groups[row] for row in range(len(texts)) if labels[row] == label}, groups
        )
    return splits


def _back_to_train(
    splits: dict[str, list[int]], taken: set[np.int64], groups: NDArray[np.int64]
) -> None:
    """Put the rows of the groups `taken` into train."""
    back = list[int]()
    for name, rows in splits.items():
        if name != "train":
            back += [row for row in rows if groups[row] in taken]
            splits[name] = [row for row in rows if groups[row] not in taken]
    splits["train"] = sorted([*splits["train"], *back])


def _too_few(rows: int, rest: int, counts: Mapping[str, int], wanted: Sequence[str]) -> str:
    """Why `wanted` cannot be cut out of the `rest` of the rows, with the `counts` of its labels."""
    what = " and ".join(wanted)
    if not rest:
        return (
            f"all {rows:,} stand in the given dev or test too, or nearly so: none is left to cut "
            f"{what} out of, or to learn from; give other rows with --from"
        )
    held = f", {rows - rest} more being like given dev or test rows" if rest < rows else ""
    if rest < FEWEST:
        return (
            f"{rest} are too few to cut {what} out of them{held}; {FEWEST} are the least, and from "
            "about 50 a label on figures begin to tell; add rows, or give --dev and --test"
        )
    return (
        f"they are too few to cut {what} out of them: the commonest label has "
        f"{max(counts.values())}{held}; {FEWEST_OF_ONE} are the least; add rows, or give --dev and "
        "--test"
    )


def groups_of(texts: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """A number for each row; rows of which a text is equal or near-equal to one of another, on the
    same side, or that are linked by such rows, have the same."""
    numbers, links = len(texts), list[tuple[Any, Any]]()
    for side in zip(*texts, strict=True):
        first = dict[int, int]()
        links += [
            (row, first.setdefault(group, row))
            for row, group in enumerate(near_equal_groups(tuple(side)))
        ]
    rows, columns = zip(*links, strict=True)
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(numbers, numbers))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, dtype=np.int64)
