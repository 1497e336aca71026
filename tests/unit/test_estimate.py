"""The estimate of a sentence: what it looks at, what is flagged, and that the weights are those of
the bundled backbone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from polygraft.adapters.format import load_manifest
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.runtime.graph import load_card
from polygraft.runtime.search import Hypothesis
from polygraft.tasks.translation.estimate import (
    FEATURES,
    FILE,
    Calibration,
    calibration_of,
    features,
    mean_estimate,
)


def test_the_weights_are_those_of_the_bundled_backbone() -> None:
    """Else no translation has an estimate: run `tests/bench/estimate.py --write`."""
    assert calibration_of(load_card(default_backbone()).backbone)
    assert calibration_of(load_manifest(BUNDLED / "en-fr").backbone)
    assert calibration_of("another") is None


def test_the_bad_are_flagged_more_often_than_the_good() -> None:
    """On rows that the weights were not fitted on."""
    flagged = json.loads(FILE.read_text(encoding="utf-8"))["figures"]["flagged"]
    assert flagged["better half"] < 10
    assert flagged["worst fifth"] > 4 * flagged["better half"]


def test_features() -> None:
    found = features("Send it to Ada", "Envoie à Ada à Ada", -0.5, cut=True)
    ratio, length = math.log((5 + 14) / (5 + 11)), math.log(5 + 11)
    values = np.array([-0.5, ratio, 2 / 5, 1 / 4, length])
    np.testing.assert_allclose(found, [1, 1, *values, *values**2])
    assert len(found) == FEATURES
    assert np.isfinite(features("?", "", 0.0, cut=False)).all()


@pytest.fixture
def by_log_probability() -> Calibration:
    weights = np.zeros(FEATURES)
    weights[:3] = 100, 0, 50
    return Calibration("any", weights, bound=0.5)


def test_what_is_flagged(by_log_probability: Calibration) -> None:
    def estimate(log_probability: float, translation: str = "b", *, cut: bool = False) -> object:
        one = by_log_probability.estimate("a", translation, log_probability, cut=cut)
        return one.estimate, one.check

    assert estimate(-0.5) == (0.75, False)
    assert estimate(-1.5) == (0.25, True)
    assert estimate(-9) == (0.0, True), "never below 0"
    assert estimate(9) == (1.0, False), "never above 1"
    assert estimate(-0.5, cut=True) == (0.75, True)
    assert estimate(-0.5, " ") == (0.75, True)


def test_a_text_has_the_mean_of_its_sentences_by_their_length(
    by_log_probability: Calibration,
) -> None:
    short = by_log_probability.estimate("a", "b", -1, cut=False)
    long = by_log_probability.estimate("abc", "b", 0, cut=False)
    assert mean_estimate([short, long]) == pytest.approx((0.5 + 3 * 1) / 4)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
def test_the_mean_log_probability_does_not_depend_on_the_length_penalty(penalty: float) -> None:
    for cut, length in ((False, 4), (True, 3)):
        hypothesis = Hypothesis([5, 6, 7], -6.0 / length**penalty, cut)
        assert hypothesis.log_probability(penalty) == pytest.approx(-6.0 / length)
