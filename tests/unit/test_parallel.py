"""Held-out rows that are translations of rows the parent was trained on."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from polygraft.data.splits import Split, Splits
from polygraft.errors import DataError
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.shared_vectors import SharedVectors
from polygraft.training.linear_head import Vectors, unit
from polygraft.transfer import parallel, translations

RNG = np.random.default_rng(0)
KIND = RNG.normal(size=64)  # what all rows share
TRAINED = unit(KIND + RNG.normal(size=(500, 64)))
OTHERS = unit(KIND + RNG.normal(size=(100, 64)))
NONE = np.empty((0, 64))
COPIES = unit(TRAINED[:100] + 0.06 * RNG.normal(size=(100, 64)))


def share(held_out: Vectors, trained: Vectors, others: Vectors = NONE) -> float:
    return translations.find_partners(held_out, trained, others).share


def test_noisy_copies_are_found_and_other_rows_of_the_same_kind_are_not() -> None:
    assert share(COPIES, TRAINED) > 90
    assert share(OTHERS, TRAINED) < 15
    assert 40 < share(np.concatenate([COPIES[:50], OTHERS[:50]]), TRAINED) < 60
    assert share(COPIES[:4], TRAINED[:4]) == 0, "too few rows say nothing"
    row, partner = translations.find_partners(COPIES, TRAINED, OTHERS).pairs[0]
    assert row == partner, "a copy is the partner of what it is a copy of"


def test_a_few_rows_are_compared_with_all_of_the_target() -> None:
    """Issue 18: an honest dev split of 25 rows was refused, as of so few almost any is the nearest
    of a training row."""
    trained = TRAINED[:80]
    of_target = unit(trained[RNG.integers(len(trained), size=300)] + RNG.normal(size=(300, 64)))
    few, rest = of_target[:20], of_target[20:]
    assert share(few, trained) > 30
    assert share(few, trained, rest) < 30
    assert share(COPIES[:20], TRAINED, np.concatenate([OTHERS, COPIES[20:]])) > 90


@pytest.mark.parametrize(
    ("rows", "partners", "shown"),
    [(10, 4, False), (10, 10, False), (30, 9, False), (30, 10, True), (450, 100, False)],
)
def test_a_verdict_needs_rows_and_more_partners_than_chance_gives(
    rows: int, partners: int, shown: bool
) -> None:
    """Issue 18: 4 of 10 dev rows made an English adapter useless for English headlines."""
    found = translations.Partners(rows, [(i, i) for i in range(partners)])
    assert found.are_translations is shown


def test_within_one_language_only_the_same_text_counts() -> None:
    """Issue 18: texts of one language on one subject are near each other and no translations."""
    assert share(COPIES, TRAINED) > 90
    assert translations.find_partners(COPIES, TRAINED, NONE, one_language=True).pairs == []
    same = translations.find_partners(TRAINED[:50], TRAINED, NONE, one_language=True)
    assert sorted(same.pairs) == [(i, i) for i in range(50)]
    assert parallel.speak_alike(["en-GB"], ["fr", "en"])
    assert not parallel.speak_alike(["en"], ["yo"])


class NoEngine:
    """Stands in for the engine where vectors are given."""

    def __init__(self, *_: object, **options: object) -> None:
        pass

    def close(self) -> None:
        pass


def job(
    splits: Splits, parent_rows: Split | None, allow_leak: str | None = None
) -> ClassificationJob:
    recipe = ClassificationRecipe.model_validate(
        {"name": "child", "languages": ["yo"], "parent": "mother", "data": {"train": "", "dev": ""}}
    )
    return ClassificationJob(
        recipe, Path(), Path(), [], splits, None, None, parent_rows, allow_leak
    )


@pytest.mark.parametrize("leaks", [True, False])
def test_a_child_scored_on_translations_of_its_parents_rows_is_refused(
    leaks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"t{i}": v for i, v in enumerate(TRAINED)} | {f"o{i}": v for i, v in enumerate(OTHERS)}
    known |= {f"c{i}": v for i, v in enumerate(COPIES)}
    monkeypatch.setattr(parallel, "read_vectors", lambda *_: known)
    monkeypatch.setattr(parallel, "Engine", NoEngine)
    monkeypatch.setattr(parallel, "BackboneFiles", lambda _: SimpleNamespace(graph=Path(__file__)))
    mother = tmp_path / "mother"
    mother.mkdir()
    (mother / "recipe.yaml").write_text(
        "{name: mother, languages: [en], data: {train: t.jsonl, dev: d.jsonl}}"
    )
    parent = Split([f"t{i}" for i in range(500)], ["x"] * 500, [])
    test = Split([f"{'c' if leaks else 'o'}{i}" for i in range(100)], ["x"] * 100, [])
    dev = Split([f"o{i}" for i in range(100)], ["x"] * 100, [])
    splits = Splits(dev, dev, test, ["x"], [], {})
    parallel.check(job(splits, parent, allow_leak="measured before"))
    parallel.check(job(splits, None))
    if leaks:
        with pytest.raises(
            DataError,
            match=r"^data of child: 1 problem\n"
            r"  - test: (9\d|100)% of its rows, \d+ of 100, .*'c\d+' ~ 't\d+'.* "
            r"parent mother .*--allow-leak",
        ):
            parallel.check(job(splits, parent))
        with_ids = [
            replace(split, ids=[str(i) for i in range(len(split))]) for split in (dev, parent)
        ]
        parallel.check(
            job(replace(splits, train=with_ids[0]), with_ids[1])
        )  # ids are shared, and were checked already
        shared = SharedVectors(3 * TRAINED, ["x"] * 500, np.zeros(0, np.int64))
        monkeypatch.setattr(parallel, "shared_rows", lambda *_: shared)
        with pytest.raises(
            DataError, match=r"test: (9\d|100)%"
        ):  # the parent's rows are not at hand
            parallel.check(replace(job(splits, None), parent=mother))
    else:
        parallel.check(job(splits, parent))
