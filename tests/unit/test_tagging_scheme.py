from __future__ import annotations

import random
from itertools import pairwise

import pytest
from seqeval.scheme import IOB2, IOBES, Entities

from polygraft.tasks.tagging.scheme import (
    Scheme,
    TaggedSpan,
    may_follow,
    repaired,
    scheme_of,
    spans_of_tags,
    tags_of_labels,
)


@pytest.mark.parametrize(
    ("given", "scheme", "becomes"),
    [
        ("O I-PER I-PER O", "BIO", "O B-PER I-PER O"),  # nothing was open: it begins one
        ("B-PER I-LOC", "BIO", "B-PER B-LOC"),  # another label: it begins one
        ("I-PER B-PER", "BIO", "B-PER B-PER"),  # IOB1
        ("B-PER I-PER B-PER", "BIO", "B-PER I-PER B-PER"),
        ("B-PER O", "BIOES", "S-PER O"),  # it never ended
        ("B-PER I-PER O", "BIOES", "B-PER E-PER O"),
        ("I-PER E-PER I-PER", "BIOES", "B-PER E-PER S-PER"),
        ("S-PER I-PER", "BIOES", "S-PER S-PER"),
        ("E-LOC", "BIOES", "S-LOC"),
        ("NOUN VERB", "none", "NOUN VERB"),
    ],
)
def test_tags_are_repaired_by_the_stated_rule(given: str, scheme: Scheme, becomes: str) -> None:
    assert repaired(given.split(), scheme) == becomes.split()


@pytest.mark.parametrize(("scheme", "theirs"), [("BIO", IOB2), ("BIOES", IOBES)])
def test_repaired_tags_are_what_seqeval_calls_strict(scheme: Scheme, theirs: type) -> None:
    """Random tags, mostly wrong: once repaired seqeval's strict mode finds the same spans, and
    every step is one that the scheme allows."""
    draw, tags = random.Random(0), tags_of_labels(["A", "B"], "BIOES")
    own = tags_of_labels(["A", "B"], scheme)
    allowed = may_follow(own, scheme)
    changed = 0
    for _ in range(500):
        given = draw.choices(tags, k=draw.randint(1, 8))
        right = repaired(given, scheme)
        changed += given != right
        (entities,) = Entities([right], theirs).entities
        found = [TaggedSpan(e.start, e.end, e.tag) for e in entities]
        assert spans_of_tags(given) == spans_of_tags(right) == found, (given, right)
        path = [len(own), *map(own.index, right), len(own)]
        assert all(allowed[a, b] for a, b in pairwise(path)), right
    assert changed > 100, "the tags were right already: the test is void"


def test_what_the_scheme_does_not_allow() -> None:
    tags = tags_of_labels(["A", "B"], "BIO")
    allowed = may_follow(tags, "BIO")
    place = {tag: i for i, tag in enumerate(tags)} | {"edge": len(tags)}
    assert not allowed[place["O"], place["I-A"]]
    assert not allowed[place["edge"], place["I-A"]]
    assert not allowed[place["B-B"], place["I-A"]]
    assert allowed[place["B-A"], place["I-A"]]
    assert allowed[place["I-A"], place["edge"]]
    bioes = tags_of_labels(["A"], "BIOES")
    assert not may_follow(bioes, "BIOES")[bioes.index("B-A"), len(bioes)]
    assert may_follow(["NOUN", "VERB"], "none").all()


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-PER", "I-PER"], "BIO"),
        (["O", "I-PER"], "BIO"),
        (["O", "S-PER"], "BIOES"),
        (["NOUN", "O"], "none"),
        (["O"], "none"),
        (["B-PER", "X"], "none"),
    ],
)
def test_the_scheme_is_told_by_the_tags(tags: list[str], scheme: Scheme) -> None:
    assert scheme_of(tags) == scheme
