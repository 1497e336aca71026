"""The rows of a family, split, and checked that no source row is a translation of a target's test
row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polygraft.data.reading import read_source, unreadable
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.tasks.recipe import expand
from polygraft.transfer.study.plan import Family, Side

Three = tuple[Split, Split, Split | None]


def read_side(family: Family, side: Side, folder: Path) -> Three:
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
    keeps = [int(i) % family.dev_every == 0 for i in train.ids]
    return _where(train, lambda i: not keeps[i]), _where(train, lambda i: keeps[i]), test


def check(family: Family, source: Three, targets: dict[str, Three]) -> None:
    """Raises `DataError` when a target has no test, labels the source does not know, or held-out
    rows whose translations the source was trained on."""
    problems = []
    for language, (train, dev, test) in targets.items():
        if test is None:
            problems.append(f"{language}: a target needs a test")
            continue
        for held_out in (dev, test):
            seen = (
                set(source[0].ids) | set(source[1].ids) if held_out is test else set(source[0].ids)
            ) & set(held_out.ids)
            problems += (
                [f"{language}: {len(seen)} held-out rows are translations of the source's rows"]
                if seen
                else []
            )
        strange = set(train.labels) | set(test.labels)
        strange -= set(source[0].labels)
        problems += [f"{language}: the source has no label {sorted(strange)}"] if strange else []
    if problems:
        raise DataError(f"study {family.name}", problems)


def _read(family: Family, file: str, folder: Path) -> Split:
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


def _where(split: Split, wanted: Callable[[int], bool]) -> Split:
    return split.without({i for i in range(len(split)) if not wanted(i)})
