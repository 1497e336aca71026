"""Rows to be tagged, and the three splits that a recipe has."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polygraft.tasks.tagging.scheme import (
    OUTSIDE,
    Scheme,
    TaggedSpan,
    labels_of_tags,
    spans_of_tags,
    tags_of_labels,
    tags_of_spans,
)
from polygraft.tasks.tagging.words import words_of


@dataclass(frozen=True)
class TaggedRow:
    """A sentence as its source gives it: `tokens` with their `tags`. Figures are of these. `words`
    are the same cut as a text is when it is served, and `places` has the token of each."""

    tokens: list[str]
    tags: list[str]
    words: list[str]
    places: list[int]

    @classmethod
    def of(cls, tokens: Sequence[str], tags: Sequence[str]) -> TaggedRow:
        words, places = list[str](), list[int]()
        for place, token in enumerate(tokens):
            cut = words_of(token)
            words += [token[word.start : word.end] for word in cut]
            places += [place] * len(cut)
        return cls(list(tokens), list(tags), words, places)

    @property
    def text(self) -> str:
        return " ".join(self.tokens)

    def word_tags(self, scheme: Scheme) -> list[str]:
        """The tags of its words: a span is made of the words of its tokens."""
        if scheme == "none":
            return [self.tags[place] for place in self.places]
        first = [self.places.index(token) for token in range(len(self.tokens))] + [len(self.words)]
        spans = [
            TaggedSpan(first[span.first], first[span.end], span.label)
            for span in spans_of_tags(self.tags)
        ]
        return tags_of_spans(spans, len(self.words), scheme)

    def token_tags(self, word_tags: Sequence[str], scheme: Scheme) -> list[str]:
        """Tags of its words as tags of its tokens: that of a token's first word. A span that begins
        further in begins with the next token, or not at all."""
        first = dict[int, str]()
        for place, tag in zip(self.places, word_tags, strict=True):
            first.setdefault(place, tag)
        tags = [first.get(token, OUTSIDE) for token in range(len(self.tokens))]
        if scheme == "none":
            return tags
        return tags_of_spans(spans_of_tags(tags), len(tags), scheme)


@dataclass(frozen=True)
class TagSet:
    """What an adapter may answer with: its `labels`, without prefixes, and every tag that a word
    may get by its `scheme`."""

    scheme: Scheme
    labels: list[str]

    @property
    def tags(self) -> list[str]:
        return tags_of_labels(self.labels, self.scheme)

    @classmethod
    def of(cls, tags: Sequence[str], scheme: Scheme, labels: list[str] | None) -> TagSet:
        """The set of training tags; `labels` where the recipe names them."""
        found = sorted(set(tags)) if scheme == "none" else labels_of_tags(tags)
        return cls(scheme, labels or found)


@dataclass(frozen=True)
class TaggedSplits:
    """`test` is None when the recipe has none. `sources`, `leaks` and `doubts` as in
    `data.splits.Splits`."""

    train: list[TaggedRow]
    dev: list[TaggedRow]
    test: list[TaggedRow] | None
    tag_set: TagSet
    sources: list[dict[str, Any]]
    leaks: dict[str, Any]
    doubts: list[str] = field(default_factory=list)


def without(rows: Sequence[TaggedRow], drop: Container[int]) -> list[TaggedRow]:
    """The rows whose places are not in `drop`, in their order."""
    return [row for place, row in enumerate(rows) if place not in drop]


def drawn(rows: Sequence[TaggedRow], count: int | None, seed: int) -> list[TaggedRow]:
    """`count` rows drawn with `seed`, in their order; None: all."""
    if count is None or count >= len(rows):
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), count, replace=False)
    return [rows[place] for place in sorted(chosen.tolist())]
