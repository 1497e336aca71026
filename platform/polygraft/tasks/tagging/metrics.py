"""How right tags are: entity F1 of spans, accuracy of a tag a word; percent, with intervals over
sentences.

A span is right when its words and its label are (seqeval's strict mode, Nakayama 2018; the measure
of CoNLL-2003, Tjong Kim Sang & De Meulder). Each sentence is counted once by seqeval, and figures
and resamples are sums of these counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from seqeval.scheme import IOB2, IOBES, Entities

from polygraft.reporting.intervals import Metric
from polygraft.tasks.tagging.scheme import Scheme

Tags = Sequence[Sequence[str]]
"""Of every sentence, a tag a word."""
Counts = NDArray[np.int64]
SCHEMES = {"BIO": IOB2, "BIOES": IOBES}
ENTITY_F1, ACCURACY = "entity_f1", "accuracy"


def metric_name(scheme: Scheme) -> str:
    return ACCURACY if scheme == "none" else ENTITY_F1


def counts_of(gold: Tags, tags: Tags, scheme: Scheme, label: str | None = None) -> Counts:
    """[sentences, 3]: what is right, what was answered, and what stands in gold; of one label
    alone, where it is given."""
    if scheme == "none":
        rows = []
        for right, answered in zip(gold, tags, strict=True):
            ours = [tag == label for tag in answered] if label else [True] * len(answered)
            theirs = [tag == label for tag in right] if label else [True] * len(right)
            same = sum(a == b and c for a, b, c in zip(right, answered, ours, strict=True))
            rows.append((same, sum(ours), sum(theirs)))
        return np.array(rows, np.int64)
    spans = [
        [{e.to_tuple() for e in of_row if label in (None, e.tag)} for of_row in entities.entities]
        for entities in (Entities(list(map(list, some)), SCHEMES[scheme]) for some in (gold, tags))
    ]
    return np.array(
        [(len(a & b), len(b), len(a)) for a, b in zip(*spans, strict=True)], np.int64
    ).reshape(-1, 3)


def f1(_: Any, counts: Counts) -> float:
    """Micro F1 of rows of counts; accuracy, where every word is answered once."""
    right, answered, gold = counts.sum(axis=0).tolist()
    return 200 * right / (answered + gold) if answered + gold else 0.0


METRIC: Metric = f1


def score(gold: Tags, tags: Tags, scheme: Scheme) -> float:
    """Entity F1 or accuracy of all sentences."""
    return f1(None, counts_of(gold, tags, scheme))


def by_label(gold: Tags, tags: Tags, labels: Sequence[str], scheme: Scheme) -> dict[str, float]:
    """F1 of each label."""
    return {label: round(f1(None, counts_of(gold, tags, scheme, label)), 1) for label in labels}
