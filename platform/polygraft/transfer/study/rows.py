"""The rows of a family, split, and checked that no source row is a translation of a target's test
row."""

from __future__ import annotations

from pathlib import Path

from polygraft.data.reading import read_source, unreadable
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.tasks.recipe import expand
from polygraft.transfer.study.plan import Side, StudyFamily

SideRows = tuple[Split, Split, Split | None]
"""Train, dev and test of one language; a source needs no test."""


def read_side(family: StudyFamily, side: Side, folder: Path) -> SideRows:
    """Train, dev and test of one language. Raises `DataError`."""
    if side.dev is None and family.id is None:
        raise DataError(
            f"study {family.name}",
            [f"{side.language}: without dev, rows need an id to be split by"],
        )
    train = _read(family, side.train, folder)
    test = _read(family, side.test, folder) if side.test else None
    if side.dev is not None:
        return train, _read(family, side.dev, folder), test
    dev_rows = {i for i, row_id in enumerate(train.ids) if int(row_id) % family.dev_every == 0}
    train_rows = set(range(len(train))) - dev_rows
    return train.without(dev_rows), train.without(train_rows), test


def check(family: StudyFamily, source: SideRows, targets: dict[str, SideRows]) -> None:
    """Raises `DataError` when a target has no test, labels the source does not know, or held-out
    rows whose translations the source was trained on."""
    source_train, source_dev, _ = source
    trained_on, used = set(source_train.ids), {*source_train.ids, *source_dev.ids}
    problems = []
    for language, (train, dev, test) in targets.items():
        if test is None:
            problems.append(f"{language}: a target needs a test")
            continue
        for held_out, seen in ((dev, trained_on), (test, used)):
            if leaked := seen & set(held_out.ids):
                problems.append(
                    f"{language}: {len(leaked)} held-out rows are translations of the source's rows"
                )
        if unknown := {*train.labels, *test.labels} - set(source_train.labels):
            problems.append(f"{language}: the source has no label {sorted(unknown)}")
    if problems:
        raise DataError(f"study {family.name}", problems)


def _read(family: StudyFamily, file: str, folder: Path) -> Split:
    columns = [family.text] if isinstance(family.text, str) else family.text
    try:
        rows = read_source(expand(file, folder))
    except Exception as error:
        raise DataError(f"study {family.name}", [unreadable(file, error)]) from None
    return Split(
        ["\n".join(str(row[c]) for c in columns if row[c]) for row in rows],
        [str(row[family.label]) for row in rows],
        [str(row[family.id]) for row in rows] if family.id else [],
    )
