"""How much source rows count."""

from __future__ import annotations

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.training.vectors import unit
from polygraft.transfer import mixing


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("agrees", 0.3, 1), ("contradicts", 0, 0.01), ("translations", 0, 0.01)],
)
def test_the_weight_that_fits_is_found(kind: str, low: float, high: float) -> None:
    """Translations of the target's rows, whose labels are chance: only by holding them out with the
    row is that seen."""
    rng = np.random.default_rng(0)
    gold = [str(i % 2) for i in range(20)]
    ours = unit(rng.normal(size=(20, 16)))
    others = [str(i % 2) for i in range(200)]
    theirs = unit(rng.normal(size=(200, 16)))
    if kind == "translations":
        theirs, others = np.tile(ours, (10, 1)), gold * 10
    else:
        sign = -1 if kind == "contradicts" else 1
        ours[:, 0] += [0.2 if label == "1" else -0.2 for label in gold]
        theirs[:, 0] += [sign * (0.2 if label == "1" else -0.2) for label in others]
    ids = [str(i) for i in range(20)]
    target, source = Split(["-"] * 20, gold, ids), Split(["-"] * 200, others, ids * 10)
    assert low <= mixing.best_weight(ours, target, theirs, source, np.ones(200), ["0", "1"]) <= high
    if kind == "translations":
        unnamed = Split(["-"] * 200, others, [])
        assert mixing.best_weight(ours, target, theirs, unnamed, np.ones(200), ["0", "1"]) == 1


@pytest.mark.parametrize("labels", [["0", "1"], ["0", "0", "1"], ["0", "0"]])
def test_without_two_rows_of_a_label_none_is_held_out(labels: list[str]) -> None:
    rows = Split(["-"] * len(labels), labels, [])
    vectors = np.eye(len(labels))
    assert mixing.best_weight(vectors, rows, vectors, rows, np.ones(len(labels)), ["0", "1"]) == 1


def test_domain_weights_prefer_rows_like_the_targets() -> None:
    rng = np.random.default_rng(0)
    target, near, far = (
        rng.normal(size=(40, 8)) * 0.1 + centre
        for centre in (np.eye(8)[0], np.eye(8)[0], np.eye(8)[1])
    )
    weights = mixing.domain(target, np.concatenate([near, far]))
    assert weights[:40].min() > weights[40:].max()


def test_boosting_turns_from_source_rows_that_contradict_the_target() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8))
    labels = ["a" if x[0] > 0 else "b" for x in vectors]
    flipped = ["b" if y == "a" else "a" for y in labels]
    weights = mixing.boosting(vectors[:20], labels[:20], vectors[20:], labels[20:40] + flipped[40:])
    assert weights[:20].mean() > 3 * weights[20:].mean()
