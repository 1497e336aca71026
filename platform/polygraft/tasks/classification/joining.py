"""The weights of a classifier's parts, found on rows that neither part was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold

from polygraft.data.leaks import near_equal_groups
from polygraft.data.splits import Split
from polygraft.tasks.classification.parts import Join, Parts
from polygraft.training.threads import on_one_thread

FOLDS = 5
LARGEST_WEIGHT = 50.0
STARTS = ((0.5, 3.0), (1.0, 0.0))  # neural, lexical
UNMEASURED = Join(neural=0.5, lexical=3.0)
"""Where nothing can be held out, a label having but one row: about what few rows give."""
Places = NDArray[np.int64]
Fold = tuple[Places, Places]
"""Places of the rows that are trained on, and of those held out."""


@dataclass(frozen=True)
class Held:
    """Rows that were held out while the parts were trained that answered them: their labels, as
    places among the adapter's, both parts' logits, and their texts."""

    gold: Places
    parts: Parts
    texts: Sequence[str] = ()

    def first(self, count: int) -> Held:
        """The first `count` of them."""
        neural, lexical = self.parts.neural, self.parts.lexical
        parts = Parts(neural[:count], None if lexical is None else lexical[:count])
        return Held(self.gold[:count], parts, self.texts[:count])

    def chances(self, join: Join) -> NDArray[np.float64]:
        """[rows, labels]"""
        chances: NDArray[np.float64] = softmax(self.parts.joined(join).astype(np.float64), axis=1)
        return chances


def together(held: Sequence[Held]) -> Held:
    """The rows of all of them, in order."""
    lexical = [one.parts.lexical for one in held if one.parts.lexical is not None]
    parts = Parts(
        np.concatenate([one.parts.neural for one in held]),
        np.concatenate(lexical) if lexical else None,
    )
    texts = [text for one in held for text in one.texts]
    return Held(np.concatenate([one.gold for one in held]), parts, texts)


def folds_of(rows: Split, seed: int = 0) -> list[Fold]:
    """At most `FOLDS` stratified folds; none where a label has but one row. Another seed cuts them
    elsewhere.

    Near-equal rows of a label stay together, and a row with its altered copy, as they do where
    leaks are dropped: a row whose twin was trained on is answered too well. With twins apart,
    thresholds that were to find 90% of the Swahili spam found 70% of it in rows without twins (mean
    of 20 splits), with twins together 89%.
    """
    origins = rows.origins or range(len(rows))
    near_equal = near_equal_groups(tuple(rows.originals.texts))
    groups = [(near_equal[i], label) for i, label in zip(origins, rows.labels, strict=True)]
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    labels = [label for _, label in number]
    counts = Counter(labels)
    folds = min(FOLDS, *counts.values()) if len(counts) > 1 else 0
    if folds < 2:
        return []
    of_row = np.array([number[group] for group in groups])
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    held_out = (np.isin(of_row, groups_out) for _, groups_out in splits)
    return [(np.flatnonzero(~out), np.flatnonzero(out)) for out in held_out]


def domains_of(rows: Split) -> list[Fold]:
    """A fold a file of the rows, held out whole; none where there are fewer than three files, or
    where one of them is needed for a label."""
    files = [other.get("file", "") for other in rows.others]
    if len(set(files)) < 3:
        return []
    labels = np.array(rows.labels)
    folds = list(LeaveOneGroupOut().split(labels, groups=files))
    return folds if all(set(labels) == set(labels[kept]) for kept, _ in folds) else []


@on_one_thread
def find_join(held: Held) -> Join:
    """The weights, none below 0, with the least log loss; convex, so the least there is.

    Labels are smoothed by one row in all (Platt 1999, section 2.2), else the weights of parts that
    make no mistake would have no bound.
    """
    gold, parts = held.gold, held.parts
    lexical = np.zeros_like(parts.neural) if parts.lexical is None else parts.lexical
    logits = np.stack([parts.neural, lexical]).astype(np.float64)
    rows, labels = logits.shape[1:]
    wanted = np.full((rows, labels), 1 / (labels * (rows + 1)))
    wanted[np.arange(rows), gold] += rows / (rows + 1)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        joined = log_softmax(np.tensordot(weights, logits, 1), axis=1)
        wrong = np.exp(joined) - wanted
        return -float((wanted * joined).sum()) / rows, (logits * wrong).sum(axis=(1, 2)) / rows

    bounds = [(0, LARGEST_WEIGHT), (0, LARGEST_WEIGHT if parts.lexical is not None else 0)]
    best = min(
        (minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in STARTS),
        key=lambda result: float(result.fun),
    )
    neural, lexical_weight = (float(weight) for weight in best.x)
    return Join(neural, lexical_weight)


def log_loss(held: Held, join: Join) -> float:
    """Mean over rows, nats."""
    joined = log_softmax(held.parts.joined(join).astype(np.float64), axis=1)
    return -float(joined[np.arange(len(held.gold)), held.gold].mean())


def places(labels: Sequence[str], known: Sequence[str]) -> Places:
    """Each label's place among those known."""
    place = {label: i for i, label in enumerate(known)}
    return np.array([place[label] for label in labels], np.int64)
