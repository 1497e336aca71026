"""A classification recipe's files -> labelled rows with splits, hashes, leak and shortcut
checks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.data.leaks import Leak, leaked_texts, settle
from polygraft.data.reading import read_source, read_texts, unreadable
from polygraft.data.shortcuts import given_away
from polygraft.data.splits import Split, Splits
from polygraft.errors import DataError, RecipeError
from polygraft.tasks.classification.recipe import (
    ClassificationRecipe,
    DataRecipe,
    LabelledText,
    One,
)
from polygraft.tasks.recipe import expand, load_recipe


def load_splits(
    recipe: ClassificationRecipe, folder: Path, *, allow_leak: str | None = None
) -> Splits:
    """Read, check and clean every split of `recipe`, whose file lies in `folder`. `allow_leak` is
    the reason for which training rows may stand in dev or test.

    Raises `DataError` with every problem found: unreadable files, missing columns, empty texts, one
    class only, labels outside the recipe's, rows that stand in two splits, labels that a length or
    a field gives away.
    """
    problems: list[str] = []
    sources: list[dict[str, Any]] = []
    splits = {
        name: _read_split(name, value, recipe.data, folder, problems, sources)
        for name in ("train", "dev", "test")
        if (value := getattr(recipe.data, name)) is not None
    }
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    train, dev, test = splits["train"], splits["dev"], splits.get("test")
    labels = recipe.labels or sorted(set(train.labels))
    problems += _label_problems(labels, splits)
    leaks = _leaks(train, [s for s in (dev, test) if s is not None])
    settled = settle(
        leaks, train.texts, "rows also stand in dev or test", recipe.data.on_leak, allow_leak
    )
    if settled.problem:
        problems.append(settled.problem)
    hints = _shortcuts(train)
    if hints and allow_leak is None:
        told = ", ".join(
            f"{name} ({score}% of rows right, every label counted alike)"
            for name, score in hints.items()
        )
        problems.append(
            f"train: the label is given away by {told}; a model may learn that and not the task. "
            "Mix the sources or lengths of "
            "the labels, or say why it may stay with --allow-leak REASON"
        )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    record = settled.record | (
        {"given_away": hints, "done": f"allowed: {allow_leak}"} if hints else {}
    )
    return Splits(train.without(settled.drop), dev, test, labels, sources, record)


def read_split(file: Path, name: str, seen: list[dict[str, Any]] | None = None) -> Split | None:
    """`train`, `dev` or `test` of the classifier whose recipe is `file`; None when there is none or
    it cannot be read on this machine. `seen` is given what `Splits.sources` would list."""
    try:
        recipe, problems = load_recipe(file), list[str]()
    except RecipeError:
        return None
    if (
        not isinstance(recipe, ClassificationRecipe)
        or (source := getattr(recipe.data, name)) is None
    ):
        return None
    rows = _read_split(
        name, source, recipe.data, file.resolve().parent, problems, [] if seen is None else seen
    )
    return None if problems else rows


def check_parent(
    recipe: ClassificationRecipe, parent: str, rows: Split | None, splits: Splits
) -> None:
    """Refuse a parent of which a training row (`rows`, where known) is a translation of one this
    adapter is scored on: it has the same id. Raises `DataError`."""
    for name, split in (("dev", splits.dev), ("test", splits.test)):
        shared = set(rows.ids if rows else []) & set(split.ids if split else [])
        if shared:
            raise DataError(
                f"data of {recipe.name}",
                [
                    f"{name}: {len(shared)} rows are translations of rows that parent {parent} was "
                    "trained on"
                ],
            )


def _labelled(one: LabelledText, data: DataRecipe, folder: Path) -> list[dict[str, Any]]:
    """Its texts as rows in the recipe's own columns."""
    text = data.text if isinstance(data.text, str) else data.text[0]
    return [{text: t, data.label: one.label} for t in read_texts(one, folder)]


def _read_split(
    name: str,
    source: str | list[One],
    data: DataRecipe,
    folder: Path,
    problems: list[str],
    seen: list[dict[str, Any]],
) -> Split:
    columns = [data.text] if isinstance(data.text, str) else list(data.text)
    out = Split([], [], [])
    for one in [source] if isinstance(source, str) else source:
        shown = one if isinstance(one, str) else one.file
        try:
            rows = (
                read_source(expand(one, folder))
                if isinstance(one, str)
                else _labelled(one, data, folder)
            )
        except Exception as error:
            problems.append(f"{name}: {unreadable(shown, error)}")
            continue
        wanted = [*columns, data.label, *([data.id] if data.id else [])]
        missing = [c for c in wanted if rows and c not in rows[0]]
        if missing or not rows:
            have = ", ".join(rows[0]) if rows else "no rows"
            problems.append(
                f"{name}: {shown} lacks column {', '.join(missing) or 'data'}; it has {have}"
            )
            continue
        digest = hashlib.sha256()
        for number, row in enumerate(rows, 1):
            text = "\n".join(str(row[c]) for c in columns if row[c] is not None).strip()
            if not text or row[data.label] is None:
                problems.append(
                    f"{name}: {shown} row {number} has no {'text' if not text else 'label'}"
                )
                continue
            out.texts.append(text)
            out.labels.append(str(row[data.label]))
            if data.id:
                out.ids.append(str(row[data.id]))
            out.others.append(_others(one, row, wanted))
            digest.update(f"{text}\0{row[data.label]}\n".encode())
        seen.append(
            {
                "split": name,
                "source": shown,
                "rows": len(rows),
                "sha256": digest.hexdigest(),
                "licence": data.licence,
            }
        )
    return out


def _others(one: One, row: dict[str, Any], wanted: Sequence[str]) -> dict[str, str]:
    """What `Split.others` keeps of a row of the source `one`."""
    if isinstance(one, LabelledText):
        return {}
    return {"file": one} | {name: str(value) for name, value in row.items() if name not in wanted}


def _label_problems(labels: list[str], splits: dict[str, Split]) -> list[str]:
    problems = []
    counts = Counter(splits["train"].labels)
    if len(labels) < 2:
        problems.append(
            f"train: only one label ({', '.join(labels)}); a classifier needs at least two"
        )
    problems += [f"train: no row has label {label!r}" for label in labels if not counts[label]]
    for name, split in splits.items():
        unknown = sorted(set(split.labels) - set(labels))
        if unknown:
            problems.append(f"{name}: labels {unknown} are not among {labels}")
    return problems


def _shortcuts(train: Split) -> dict[str, float]:
    shared = set.intersection(*map(set, train.others)) if train.others else set[str]()
    return given_away(
        train.texts,
        train.labels,
        {name: [row[name] for row in train.others] for name in sorted(shared)},
    )


def _leaks(train: Split, held_out: list[Split]) -> dict[int, Leak]:
    ids = {i for split in held_out for i in split.ids}
    by_id = {i: Leak("same id", value) for i, value in enumerate(train.ids) if value in ids}
    return by_id | leaked_texts(train.texts, [t for split in held_out for t in split.texts])
