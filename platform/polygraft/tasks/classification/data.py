"""A classification recipe's files -> labelled rows with splits, hashes, leak and shortcut
checks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.data.labels import near_label, suspicious
from polygraft.data.leaks import Leak, leaked_texts, settle
from polygraft.data.parsed import cell
from polygraft.data.reading import read_source, read_texts, unreadable
from polygraft.data.shortcuts import given_away
from polygraft.data.small_tests import small_test
from polygraft.data.splits import Split, Splits
from polygraft.errors import DataError, RecipeError, listed
from polygraft.tasks.classification.recipe import (
    ClassificationRecipe,
    DataRecipe,
    LabelledText,
    One,
)
from polygraft.tasks.recipe import TextFile, expand, load_recipe


def load_splits(
    recipe: ClassificationRecipe, folder: Path, *, allow_leak: str | None = None
) -> Splits:
    """Read, check and clean every split of `recipe`, whose file lies in `folder`. `allow_leak` is
    the reason for which training rows may stand in dev or test.

    Raises `DataError` with every problem found: unreadable files, missing columns, empty texts, one
    class only, labels outside the recipe's, rows that stand in two splits, labels that a length or
    a field gives away. A split that cannot be read whole is left out of the later checks.
    """
    problems: list[str] = []
    sources: list[dict[str, Any]] = []
    splits = dict[str, Split]()
    for name in ("train", "dev", "test"):
        source = getattr(recipe.data, name)
        if source is None:
            continue
        unreadable_rows = list[str]()
        split = _read_split(name, source, recipe.data, folder, unreadable_rows, sources)
        problems += unreadable_rows
        if not unreadable_rows:
            splits[name] = split
    if "train" not in splits:
        raise DataError(f"data of {recipe.name}", problems)
    train = splits["train"]
    held_out = {name: split for name, split in splits.items() if name != "train"}
    labels = recipe.labels or sorted(set(train.labels))
    problems += _label_problems(labels, splits)
    if recipe.positive and recipe.positive not in labels:
        problems.append(
            f"positive: no training row has the label {recipe.positive!r}; they have {labels}"
        )
    problems += [
        f"decide.{name}: no training row has the label {decision.label!r}; they have {labels}"
        for name, decision in recipe.decide.items()
        if decision.label not in labels
    ]
    leaks = _leaks(train, list(held_out.values()))
    settled = settle(
        leaks, train.texts, "rows also stand in dev or test", recipe.data.on_leak, allow_leak
    )
    if settled.problem:
        problems.append(settled.problem)
    kept = train.without(settled.drop)
    problems += _dropped_labels(train, kept)
    hints = _shortcuts(train)
    if hints and allow_leak is None:
        shortcuts = ", ".join(
            f"{name} ({score}% of rows right, every label counted alike)"
            for name, score in hints.items()
        )
        problems.append(
            f"train: the label is given away by {shortcuts}; a model may learn that and not the "
            "task. "
            "Mix the sources or lengths of "
            "the labels, or say why it may stay with --allow-leak REASON"
        )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    record = settled.record | (
        {"given_away": hints, "done": f"allowed: {allow_leak}"} if hints else {}
    )
    doubts = suspicious(train.labels, {name: split.labels for name, split in held_out.items()})
    if "test" in splits:
        doubts += small_test(len(splits["test"]))
    return Splits(
        kept,
        splits["dev"],
        splits.get("test"),
        labels,
        sources,
        record,
        doubts,
    )


def read_split(file: Path, name: str, sources: list[dict[str, Any]] | None = None) -> Split | None:
    """`train`, `dev` or `test` of the classifier whose recipe is `file`; None when there is none or
    it cannot be read on this machine. What `Splits.sources` would list is added to `sources`."""
    try:
        recipe = load_recipe(file)
    except RecipeError:
        return None
    if not isinstance(recipe, ClassificationRecipe):
        return None
    source = getattr(recipe.data, name)
    if source is None:
        return None
    problems = list[str]()
    sources = [] if sources is None else sources
    rows = _read_split(name, source, recipe.data, file.resolve().parent, problems, sources)
    return None if problems else rows


def check_parent(
    recipe: ClassificationRecipe, parent: str, rows: Split | None, splits: Splits
) -> None:
    """Refuse a parent of which a training row (`rows`, where known) is a translation of one this
    adapter is scored on: it has the same id. Raises `DataError`."""
    for name, split in (("dev", splits.dev), ("test", splits.test)):
        shared = set(rows.ids if rows else []) & set(split.ids if split else []) - {""}
        if shared:
            raise DataError(
                f"data of {recipe.name}",
                [
                    f"{name}: {len(shared)} rows are translations of rows that parent {parent} was "
                    "trained on"
                ],
            )


def _labelled(one: LabelledText, data: DataRecipe, folder: Path) -> list[dict[str, Any]]:
    """The texts of a file with one label, as rows with the recipe's columns."""
    text = data.text if isinstance(data.text, str) else data.text[0]
    texts = [t for file in one.files for t in read_texts(file, folder)]
    return [{text: t, data.label: one.label} for t in texts]


def _read_split(
    name: str,
    source: str | list[One],
    data: DataRecipe,
    folder: Path,
    problems: list[str],
    sources: list[dict[str, Any]],
) -> Split:
    """The rows of every file in `source`. What is wrong is added to `problems`, what was read to
    `sources`, as `Splits.sources` lists it."""
    columns = [data.text] if isinstance(data.text, str) else list(data.text)
    split = Split([], [], [])
    for one in [source] if isinstance(source, str) else source:
        file = one if isinstance(one, str) else _name_of(one.files)
        try:
            rows = (
                read_source(expand(one, folder))
                if isinstance(one, str)
                else _labelled(one, data, folder)
            )
        except Exception as error:
            problems.append(f"{name}: {unreadable(file, error)}")
            continue
        used = [*columns, data.label, *([data.id] if data.id else [])]
        missing = [column for column in used if rows and column not in rows[0]]
        if missing or not rows:
            have = ", ".join(rows[0]) if rows else "no rows"
            problems.append(
                f"{name}: {file} lacks column {', '.join(missing) or 'data'}; it has {have}"
            )
            continue
        digest = hashlib.sha256()
        empty = list[str]()
        for number, row in enumerate(rows, 1):
            text = "\n".join(str(row[c]) for c in columns if row[c] is not None).strip()
            label = cell(row[data.label])
            if not text or not label:
                empty.append(f"row {number} has no {'text' if not text else 'label'}")
                continue
            split.texts.append(text)
            split.labels.append(label)
            if data.id:
                split.ids.append(cell(row[data.id]))
            split.others.append(_others(one, row, used))
            digest.update(f"{text}\0{label}\n".encode())
        if empty:
            problems.append(f"{name}: {file}: {listed(empty)}")
        sources.append(
            {
                "split": name,
                "source": file,
                "rows": len(rows),
                "sha256": digest.hexdigest(),
                "licence": data.licence,
            }
        )
    return split


def _name_of(files: Sequence[TextFile]) -> str:
    """Of one source: its file, or the first of several."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].file + more


def _others(one: One, row: dict[str, Any], used: Sequence[str]) -> dict[str, str]:
    """What `Split.others` keeps of a row of the source `one`: its file and the columns that the
    recipe does not use."""
    if isinstance(one, LabelledText):
        return {}
    return {"file": one} | {name: str(value) for name, value in row.items() if name not in used}


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
            meant = {label: near for label in unknown if (near := near_label(label, labels))}
            hint = "; ".join(f"is {label!r} meant for {near!r}?" for label, near in meant.items())
            problems.append(
                f"{name}: labels {unknown} are not among {labels}{f'; {hint}' if hint else ''}"
            )
    return problems


def _dropped_labels(train: Split, kept: Split) -> list[str]:
    """What is wrong where rows that leak are all there is, of a label or of the split."""
    dropped = sorted(set(train.labels) - set(kept.labels))
    if not dropped:
        return []
    whose = f"of {', '.join(map(repr, dropped))}" if len(kept) else f"({len(train)})"
    return [
        f"train: all rows {whose} stand in dev or test too and are dropped, so that none is left "
        "to learn from; give dev and test rows of their own"
    ]


def _shortcuts(train: Split) -> dict[str, float]:
    """How well a length or a column that every training row has tells the label; see
    `given_away`."""
    shared = set.intersection(*map(set, train.others)) if train.others else set[str]()
    return given_away(
        train.texts,
        train.labels,
        {name: [row[name] for row in train.others] for name in sorted(shared)},
    )


def _leaks(train: Split, held_out: list[Split]) -> dict[int, Leak]:
    """Training rows that stand in a held-out split too, by id or by text."""
    ids = {i for split in held_out for i in split.ids} - {""}
    by_id = {i: Leak("same id", value) for i, value in enumerate(train.ids) if value in ids}
    return by_id | leaked_texts(train.texts, [t for split in held_out for t in split.texts])
