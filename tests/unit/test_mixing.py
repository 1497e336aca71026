"""How much source rows count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import folds_of
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.training.linear_head import unit
from polygraft.transfer import mixing

LABELS = ["0", "1"]


def words(count: int) -> list[str]:
    """Texts of which no two are alike: those that are stay in one fold."""
    return ["".join(chr(97 + int(d)) for d in f"{i:04d}" * 3) for i in range(count)]


def beside_of(vectors: np.ndarray, labels: list[str]) -> mixing.Beside:
    """Source rows that each count 1."""
    rows = SharedVectors(vectors, labels, np.zeros(0, np.int64))
    return mixing.Beside(rows, np.ones(len(labels)))


@pytest.mark.parametrize(("sign", "low", "high"), [(1, 0.3, 1), (-1, 0, 0.01)])
def test_the_weight_that_fits_is_found(sign: int, low: float, high: float) -> None:
    """Source rows that agree with the target's, and source rows that contradict them."""
    rng = np.random.default_rng(0)
    gold, others = [str(i % 2) for i in range(20)], [str(i % 2) for i in range(200)]
    ours, theirs = unit(rng.normal(size=(20, 16))), unit(rng.normal(size=(200, 16)))
    ours[:, 0] += [0.2 if label == "1" else -0.2 for label in gold]
    theirs[:, 0] += [sign * (0.2 if label == "1" else -0.2) for label in others]
    folds, beside = folds_of(Split(words(20), gold, [])), beside_of(theirs, others)
    weight = mixing.best_weight(ours, gold, LABELS, folds, beside)
    assert low <= weight <= high


def test_translations_are_held_out_with_their_row() -> None:
    """The labels are chance: only who has seen a row's translation knows them."""
    rng = np.random.default_rng(0)
    gold, ids = [str(i) for i in rng.integers(0, 2, 40)], [str(i) for i in range(40)]
    ours = unit(rng.normal(size=(40, 48)))
    theirs, others = np.tile(ours, (10, 1)), gold * 10
    target = Split(words(40), gold, ids)

    def right(source_ids: list[str]) -> float:
        held_out_with = mixing.twins(
            ids, -ours, SharedVectors(theirs, others, id_hashes(source_ids))
        )
        beside = replace(beside_of(theirs, others), held_out_with=held_out_with)
        logits = mixing.out_of_fold(ours, gold, LABELS, folds_of(target), beside)
        return float(np.mean([LABELS[i] for i in logits.argmax(axis=1)] == np.array(gold)))

    assert right(ids * 10) < 0.7
    assert right([]) > 0.8


@pytest.mark.parametrize("labels", [["0", "1"], ["0", "0", "1"], ["0", "0"]])
def test_without_two_rows_of_a_label_none_is_held_out(labels: list[str]) -> None:
    folds = folds_of(Split(["-"] * len(labels), labels, []))
    vectors = np.eye(len(labels))
    assert mixing.best_weight(vectors, labels, LABELS, folds, beside_of(vectors, labels)) == 1


def test_a_fit_that_goes_on_from_the_next_smaller_weight_is_the_fit_from_nothing() -> None:
    rng = np.random.default_rng(0)
    gold, others = [str(i % 2) for i in range(40)], [str(i % 2) for i in range(200)]
    ours, theirs = unit(rng.normal(size=(40, 16))), unit(rng.normal(size=(200, 16)))
    folds, beside = folds_of(Split(words(40), gold, [])), beside_of(theirs, others)
    by_weight = mixing.out_of_fold_by_weight(ours, gold, LABELS, folds, beside)
    assert list(by_weight) == list(mixing.WEIGHTS)
    for weight, logits in by_weight.items():
        weighed = replace(beside, weights=np.full(200, weight))
        alone = mixing.out_of_fold(ours, gold, LABELS, folds, weighed)
        np.testing.assert_allclose(logits, alone, atol=0.02)
    assert np.abs(by_weight[1.0] - by_weight[0.0]).max() > 0.5


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
