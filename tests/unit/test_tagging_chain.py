"""Against a reference that lists every sequence."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from polygraft.tasks.tagging.chain import FORBIDDEN, Chain
from polygraft.tasks.tagging.scheme import Scheme, may_follow, split_tag, tags_of_labels

WORDS = 4


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "none"])
def test_best_sequence_and_probabilities_are_those_of_all_sequences(scheme: Scheme) -> None:
    rng, tags = np.random.default_rng(3), tags_of_labels(["A", "B"], scheme)
    allowed = may_follow(tags, scheme)
    chain = Chain(np.where(allowed, rng.normal(size=allowed.shape), FORBIDDEN))
    emissions = 2 * rng.normal(size=(WORDS, len(tags)))
    every = list(product(range(len(tags)), repeat=WORDS))
    scores = np.array(
        [
            chain.first[path[0]]
            + sum(emissions[i, tag] for i, tag in enumerate(path))
            + sum(chain.between[a, b] for a, b in pairwise(path))
            + chain.last[path[-1]]
            for path in every
        ]
    )
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    assert tuple(chain.best(emissions)) == every[int(scores.argmax())]
    sums = chain.sums(emissions)
    of_words = np.array(
        [
            [sum(p for p, path in zip(shares, every, strict=True) if path[i] == t) for t in tagged]
            for i, tagged in enumerate([range(len(tags))] * WORDS)
        ]
    )
    np.testing.assert_allclose(sums.words(), of_words, atol=1e-9)
    goes_on = np.array([split_tag(tag)[0] in ("I", "E") for tag in tags])
    for first in range(WORDS):
        for length in (1, 2):
            if first + length > WORDS:
                continue
            for path in product(range(len(tags)), repeat=length):
                reference = sum(
                    p
                    for p, whole in zip(shares, every, strict=True)
                    if whole[first : first + length] == path
                    and (first + length == WORDS or not goes_on[whole[first + length]])
                )
                found = sums.span(first, np.array(path), goes_on)
                assert found == pytest.approx(reference, abs=1e-9), (first, path)


def test_no_words_have_no_tags() -> None:
    assert Chain(np.zeros((3, 3), np.float32)).best(np.zeros((0, 2), np.float32)).tolist() == []
