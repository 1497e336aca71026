"""Labelled rows and the three splits that a recipe has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

Value = TypeVar("Value")


def rows_in_words(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


@dataclass(frozen=True)
class Split:
    """Texts and their labels, same length; `ids` is empty when the recipe names no id column.
    `others` are the fields of each row that the recipe does not read, and the file of its table:
    none of a row of text with one label, whose file says what its label says. `others` may be
    empty, else it is as long as the texts. So may `origins`: the place of the row that each is an
    altered copy of, its own for those that are none."""

    texts: list[str]
    labels: list[str]
    ids: list[str]
    others: list[dict[str, str]] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def content(self) -> list[list[str]]:
        """What a hash of the rows is made of."""
        return [self.texts, self.labels, self.ids]

    def without(self, drop: Container[int]) -> Split:
        """The rows whose places are not in `drop`, in their order."""

        def keep(values: list[Value]) -> list[Value]:
            return [v for i, v in enumerate(values) if i not in drop]

        return Split(keep(self.texts), keep(self.labels), keep(self.ids), keep(self.others))

    def relabelled(self, names: Mapping[str, str]) -> Split:
        """The rows whose label is in `names`, with the name it has there."""
        kept = self.without({i for i, label in enumerate(self.labels) if label not in names})
        return replace(kept, labels=[names[label] for label in kept.labels])

    @property
    def originals(self) -> Split:
        """The rows that are no altered copies: they come first."""
        return self.without(range(len(set(self.origins)), len(self))) if self.origins else self

    def few(self, shots: int | None, seed: int) -> Split:
        """`shots` rows of every label, drawn with `seed`, in their order; all of a label that has
        fewer. None: every row."""
        if shots is None:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        per_label, drawn = Counter[str](), set[int]()
        for i in order.tolist():
            if per_label[self.labels[i]] < shots:
                per_label[self.labels[i]] += 1
                drawn.add(i)
        return self.without(set(range(len(self))) - drawn)


@dataclass(frozen=True)
class Splits:
    """`test` is None when the recipe has none. `sources` lists file, rows, SHA-256 and licence,
    `leaks` how many training rows of each kind leaked and what was done about it, for the
    manifest. `doubts` are sentences on what may be a mistake in the data and need not be one."""

    train: Split
    dev: Split
    test: Split | None
    labels: list[str]
    sources: list[dict[str, Any]]
    leaks: dict[str, Any]
    doubts: list[str] = field(default_factory=list)
