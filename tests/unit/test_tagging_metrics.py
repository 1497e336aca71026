from __future__ import annotations

import random

import numpy as np
import pytest
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2, IOBES

from polygraft.reporting.intervals import bootstrap, paired_difference
from polygraft.tasks.tagging.metrics import METRIC, by_label, counts_of, score
from polygraft.tasks.tagging.scheme import Scheme, repaired, tags_of_labels


def sentences(scheme: Scheme, seed: int) -> list[list[str]]:
    draw, tags = random.Random(seed), tags_of_labels(["A", "B", "C"], scheme)
    sizes = random.Random(0)
    return [repaired(draw.choices(tags, k=sizes.randint(1, 12)), scheme) for _ in range(80)]


@pytest.mark.parametrize(("scheme", "theirs"), [("BIO", IOB2), ("BIOES", IOBES)])
def test_entity_f1_is_that_of_seqeval_in_strict_mode(scheme: Scheme, theirs: type) -> None:
    gold, tags = sentences(scheme, 1), sentences(scheme, 2)
    mixed = [g if i % 3 else t for i, (g, t) in enumerate(zip(gold, tags, strict=True))]
    whole = f1_score(gold, mixed, mode="strict", scheme=theirs)
    assert score(gold, mixed, scheme) == pytest.approx(100 * whole)
    assert 20 < score(gold, mixed, scheme) < 95
    for label, figure in by_label(gold, mixed, ["A", "B", "C"], scheme).items():
        alone = [
            [[t if t.endswith(label) else "O" for t in row] for row in s] for s in (gold, mixed)
        ]
        assert figure == pytest.approx(
            100 * f1_score(*alone, mode="strict", scheme=theirs), abs=0.06
        )


def test_without_a_scheme_it_is_the_share_of_right_words() -> None:
    gold, tags = [["N", "V"], ["N", "N", "P"]], [["N", "N"], ["N", "N", "P"]]
    assert score(gold, tags, "none") == pytest.approx(80)
    assert by_label(gold, tags, ["N", "P", "V"], "none") == {"N": 85.7, "P": 100.0, "V": 0.0}


def test_intervals_are_over_sentences() -> None:
    """The resampled figure of counts is that of the resampled sentences."""
    gold, tags = sentences("BIO", 1), sentences("BIO", 2)
    counts = counts_of(gold, tags, "BIO")
    rows = np.random.default_rng(0).integers(0, len(gold), len(gold))
    again = score([gold[i] for i in rows], [tags[i] for i in rows], "BIO")
    assert METRIC(None, counts[rows]) == pytest.approx(again)
    interval = bootstrap(np.arange(len(gold)), [counts], METRIC)
    assert interval.low < interval.value < interval.high
    same = paired_difference(np.arange(len(gold)), [counts], [counts], METRIC)
    assert (same.low, same.high) == (0, 0)
