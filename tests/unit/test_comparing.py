"""Figures of two versions against known answers, and what nothing can be told of."""

from __future__ import annotations

import numpy as np
import pytest

from polygraft.errors import AdapterError, InvalidRow, Overloaded, RowFailed
from polygraft.rollout.comparing import Figure, agreement, compare, kappa, label_shift, share
from polygraft.rollout.observed import LAST, Observations, Outcome, outcome
from polygraft.rollout.packed import packed, size_of, unpacked
from polygraft.rollout.rollout import below, beyond
from polygraft.tasks.classification.serving import Classified, LabelScore


def said(label: str, score: float = 0.9, seconds: float | None = 0.01) -> Outcome:
    return Outcome(label, label, score, False, seconds)


def observed(first: list[str], second: list[str]) -> Observations:
    """What two versions said of the same rows."""
    seen = Observations()
    for a, b in zip(first, second, strict=True):
        seen.add("a", said(a))
        seen.add("b", said(b, seconds=None))
        seen.pair(("a", "b"), (said(a), said(b, seconds=None)))
    return seen


def test_shares_have_wilsons_interval() -> None:
    """The values for 8 of 10 are those of Brown, Cai & DasGupta (2001)."""
    figure = share(8, 10)
    assert figure is not None
    assert (figure.low, figure.high) == (
        pytest.approx(0.4902, abs=1e-3),
        pytest.approx(0.9433, abs=1e-3),
    )
    assert share(0, 0) is None
    none = share(0, 50)
    assert none is not None
    assert none.low == 0
    assert none.high == pytest.approx(0.0713, abs=1e-3)


def test_kappa_is_agreement_beyond_chance() -> None:
    """Cohen's own measure on a table of 20, 5, 10 and 15: 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    pairs = observed(first, second).pairs("a", "b")
    figure = kappa(pairs)
    assert figure is not None
    assert figure.value == pytest.approx(0.4)
    assert figure.low < 0.4 < figure.high
    same = agreement(pairs)
    assert same is not None
    assert same.value == pytest.approx(0.7)
    assert kappa(observed(["yes"] * 9, ["yes"] * 9).pairs("a", "b")) is None
    assert agreement(Observations().pairs("a", "b")) is None


def test_label_shift_is_not_taken_for_chance() -> None:
    rng = np.random.default_rng(1)
    alike = [list(rng.choice(["a", "b", "c"], 300)) for _ in range(40)]
    pairs = zip(alike[::2], alike[1::2], strict=True)
    found = [label_shift(one, other) for one, other in pairs]
    assert sum(figure is not None and figure.low > 0.05 for figure in found) <= 1
    shifted = label_shift(["spam"] * 200 + ["ham"] * 100, ["spam"] * 100 + ["ham"] * 200)
    assert shifted is not None
    assert shifted.value == pytest.approx(1 / 3)
    assert 0.15 < shifted.low < 1 / 3 < shifted.high < 0.5
    assert label_shift([], ["a"]) is None


def test_compare() -> None:
    first = ["ham", "spam"] * 30
    seen = observed(first, [*first[:-6], *["ham"] * 6])
    seen.add("b", Outcome(None, None, None, True, 0.1))
    found = compare(seen, "b", "a")
    assert (found.pairs, found.version.rows, found.against.rows) == (60, 61, 60)
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(57 / 60)
    assert found.version.error_rate is not None
    assert found.version.error_rate.value == pytest.approx(1 / 61)
    assert found.version.scores["p50"].value == pytest.approx(0.9)
    assert found.against.milliseconds is not None
    assert found.against.milliseconds.value == pytest.approx(10)
    turned = compare(seen, "a", "b")
    assert turned.agreement == found.agreement
    nothing = compare(seen, "c", "d")
    assert (nothing.version.error_rate, nothing.label_shift, nothing.kappa) == (None, None, None)


def test_only_the_last_rows_are_kept() -> None:
    seen = Observations()
    for _ in range(LAST + 10):
        seen.add("a", said("ham"))
    assert (seen.version("a").rows, len(seen.version("a").last)) == (LAST + 10, LAST)


def test_outcomes() -> None:
    answer = Classified("mail", "v", (LabelScore("spam", 0.8), LabelScore("ham", 0.2)))
    assert outcome(answer, 0.5) == Outcome("spam", "spam", 0.8, False, 0.5)
    for error in (InvalidRow("x"), Overloaded(1, 1)):
        assert outcome(error, 0.5) is None, "no version could have answered it"
    for failed in (RowFailed("x"), AdapterError("x")):
        assert outcome(failed, None) == Outcome(None, None, None, True, None)


def test_bounds() -> None:
    figure = Figure(0.2, 0.1, 0.3)
    assert beyond("its errors", figure, 0.05) == "its errors 0.200 [0.100, 0.300] > 0.05"
    assert beyond("x", figure, 0.15) is None, "it may lie below"
    assert below("x", figure, 0.4) is not None
    assert below("x", figure, 0.25) is None
    assert beyond("x", None, 0.1) is beyond("x", figure, None) is below("x", None, 0.1) is None


def test_what_is_packed_comes_back_as_it_was() -> None:
    rng = np.random.default_rng(0)
    exact = rng.integers(-8, 8, (4, 2)).astype(np.float32)
    fine = rng.normal(size=(2, 4)).astype(np.float32)
    huge = np.full((2, 2), 1e6, np.float32)
    lora = {"one": (exact, fine), "two": (huge, exact)}
    small = packed(lora)
    assert [a.dtype for pair in small.values() for a in pair] == [
        np.float16,
        np.float32,
        np.float32,
        np.float16,
    ]
    back = unpacked(small)
    for site, pair in lora.items():
        for before, after in zip(pair, back[site], strict=True):
            assert after.dtype == np.float32
            assert np.array_equal(before, after)
    assert size_of([exact, {"x": exact}, (fine,)]) == exact.nbytes + fine.nbytes
