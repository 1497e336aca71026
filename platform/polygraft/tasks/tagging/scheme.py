"""How tags say where a span begins and ends: BIO, BIOES, or a tag for every word that says nothing
of its neighbours. Standard library and numpy only.

What a sequence of tags means is read by one rule, whatever is wrong with it: a span begins at `B-`
and `S-`, and at an `I-` or `E-` whose span is not open (its label is another one, or none was
open); it ends at `E-` and `S-`, else before whatever does not go on with it. `repaired` writes the
spans back as the scheme wants them. Of BIO, also of the older IOB1, this is what conlleval does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["BIO", "BIOES", "none"]
OUTSIDE = "O"
PREFIXES: dict[Scheme, str] = {"BIO": "BI", "BIOES": "BIES", "none": ""}
_BEGINS, _ENDS = "BS", "ES"
_NEXT = {"B": "IE", "I": "IE", "E": "", "S": ""}
"""Of BIOES, what goes on with a span."""


class TaggedSpan(NamedTuple):
    """Words `first` to `end`, not included, under a label."""

    first: int
    end: int
    label: str


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and label, `("B", "PER")`; of `O`, and of a tag without a prefix, `("", tag)`."""
    prefix, dash, label = tag.partition("-")
    if dash and label and prefix in {"B", "I", "E", "S"}:
        return prefix, label
    return "", tag


def scheme_of(tags: Iterable[str]) -> Scheme:
    """The scheme in which tags are written: none, if one of them is neither `O` nor has a
    prefix."""
    different = set(tags)
    prefixes = {split_tag(tag)[0] for tag in different - {OUTSIDE}}
    if not prefixes or "" in prefixes:
        return "none"
    return "BIO" if prefixes <= {"B", "I"} else "BIOES"


def spans_of_tags(tags: Sequence[str]) -> list[TaggedSpan]:
    """The spans that tags mean, by the rule of the module."""
    spans = list[TaggedSpan]()
    first, label = 0, ""  # of the open span; no label: none is open
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, its = split_tag(tag)
        goes_on = prefix != "" and prefix not in _BEGINS and its == label
        if label and not goes_on:
            spans.append(TaggedSpan(first, place, label))
            label = ""
        if prefix and not goes_on:
            first, label = place, its
        if prefix in _ENDS and label:
            spans.append(TaggedSpan(first, place + 1, label))
            label = ""
    return spans


def tags_of_spans(spans: Iterable[TaggedSpan], words: int, scheme: Scheme) -> list[str]:
    """The tags of so many words that mean these spans, which do not overlap."""
    tags = [OUTSIDE] * words
    for first, end, label in spans:
        tags[first:end] = [f"I-{label}"] * (end - first)
        tags[first] = f"B-{label}"
        if scheme == "BIOES":
            tags[end - 1] = f"{'S' if end - first == 1 else 'E'}-{label}"
    return tags


def repaired(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The tags as `scheme` writes what they mean; as they are, without a scheme."""
    if scheme == "none":
        return list(tags)
    return tags_of_spans(spans_of_tags(tags), len(tags), scheme)


def tags_of_labels(labels: Sequence[str], scheme: Scheme) -> list[str]:
    """Every tag that a word may get."""
    if scheme == "none":
        return list(labels)
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in PREFIXES[scheme])]


def labels_of_tags(tags: Iterable[str]) -> list[str]:
    """The labels of tags of a scheme, without `O`, sorted."""
    return sorted({split_tag(tag)[1] for tag in tags if tag != OUTSIDE})


def may_follow(tags: Sequence[str], scheme: Scheme) -> NDArray[np.bool_]:
    """[tags + 1, tags + 1]: whether the tag of the column may stand behind that of the row. The
    last row and column are what lies before the first word and behind the last."""
    edge = OUTSIDE if scheme != "none" else ""
    every = [*map(split_tag, tags), ("", edge)]
    return np.array([[_may_follow(one, other, scheme) for other in every] for one in every])


def _may_follow(one: tuple[str, str], other: tuple[str, str], scheme: Scheme) -> bool:
    if scheme == "none":
        return True
    same = one[1] == other[1]
    if scheme == "BIO":
        return other[0] != "I" or (one[0] != "" and same)
    goes_on = other[0] in ("I", "E")
    if one[0] in ("B", "I"):
        return goes_on and same
    return not goes_on
