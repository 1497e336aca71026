"""How much source rows count."""

from __future__ import annotations

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import folds_of
from polygraft.training.vectors import unit
from polygraft.transfer import mixing

LABELS = ["0", "1"]


def words(count: int) -> list[str]:
    """Texts of which no two are alike: those that are stay in one fold."""
    return ["".join(chr(97 + int(d)) for d in f"{i:04d}" * 3) for i in range(count)]


@pytest.mark.parametrize(("sign", "low", "high"), [(1, 0.3, 1), (-1, 0, 0.01)])
def test_the_weight_that_fits_is_found(sign: int, low: float, high: float) -> None:
    """Source rows that agree with the target's, and source rows that contradict them."""
    rng = np.random.default_rng(0)
    gold, others = [str(i % 2) for i in range(20)], [str(i % 2) for i in range(200)]
    ours, theirs = unit(rng.normal(size=(20, 16))), unit(rng.normal(size=(200, 16)))
    ours[:, 0] += [0.2 if label == "1" else -0.2 for label in gold]
    theirs[:, 0] += [sign * (0.2 if label == "1" else -0.2) for label in others]
    target, source = Split(words(20), gold, []), Split(words(200), others, [])
    weight = mixing.best_weight(ours, target, theirs, source, np.ones(200), LABELS)
    assert low <= weight <= high


def test_translations_are_held_out_with_their_row() -> None:
    """The labels are chance: only who has seen a row's translation knows them."""
    rng = np.random.default_rng(0)
    gold, ids = [str(i) for i in rng.integers(0, 2, 40)], [str(i) for i in range(40)]
    ours = unit(rng.normal(size=(40, 48)))
    theirs, others = np.tile(ours, (10, 1)), gold * 10
    target = Split(words(40), gold, ids)

    def right(source_ids: list[str]) -> float:
        source = Split(words(400), others, source_ids)
        logits = mixing.out_of_fold(
            ours, target, LABELS, folds_of(target), theirs, source, np.ones(400)
        )
        return float(np.mean([LABELS[i] for i in logits.argmax(axis=1)] == np.array(gold)))

    assert right(ids * 10) < 0.7
    assert right([]) > 0.8


@pytest.mark.parametrize("labels", [["0", "1"], ["0", "0", "1"], ["0", "0"]])
def test_without_two_rows_of_a_label_none_is_held_out(labels: list[str]) -> None:
    rows = Split(["-"] * len(labels), labels, [])
    vectors = np.eye(len(labels))
    assert mixing.best_weight(vectors, rows, vectors, rows, np.ones(len(labels)), LABELS) == 1


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
