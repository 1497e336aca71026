"""Goldens are found even where dev rows are few: an adapter with fewer than three is not served."""

from polygraft.adapters.manifest import MIN_GOLDENS
from polygraft.tasks.classification.golden import CANDIDATES
from polygraft.training.goldens import COUNT, MAX_CHARACTERS, beginnings


def test_training_rows_follow_where_dev_rows_are_few() -> None:
    assert beginnings(["a", "a ", "b"], ["c", "d", "a"]) == ["a", "b", "c", "d"]
    assert len(beginnings(["same"] * 50, [f"text {i}" for i in range(3)])) >= MIN_GOLDENS


def test_enough_dev_rows_stand_alone_by_their_beginnings() -> None:
    dev = [f"{i} " + "x" * 500 for i in range(CANDIDATES + COUNT)]
    found = beginnings(dev, ["train"])
    assert "train" not in found
    assert max(map(len, found)) == MAX_CHARACTERS
