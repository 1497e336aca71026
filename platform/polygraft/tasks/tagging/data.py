"""A tagging recipe's files -> rows with splits, hashes, repaired tags and a leak check."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polygraft.data.labels import near_label
from polygraft.data.leaks import leaked_texts, settle
from polygraft.data.reading import unreadable
from polygraft.data.small_tests import small_test
from polygraft.errors import DataError, RecipeError, listed
from polygraft.tasks.recipe import expand, load_recipe
from polygraft.tasks.tagging.reading import read_tagged
from polygraft.tasks.tagging.recipe import TaggingDataRecipe, TaggingRecipe
from polygraft.tasks.tagging.rows import TaggedRow, TaggedSplits, TagSet, without
from polygraft.tasks.tagging.scheme import Scheme, labels_of_tags, repaired, scheme_of, split_tag

SPLITS = ("train", "dev", "test")


def load_splits(
    recipe: TaggingRecipe, folder: Path, *, allow_leak: str | None = None
) -> TaggedSplits:
    """Read, check and repair every split of `recipe`, whose file lies in `folder`. `allow_leak` is
    the reason for which training rows may stand in dev or test.

    Raises `DataError` with every problem found: unreadable files and rows, tags of another scheme,
    labels that training does not know, rows that stand in two splits.
    """
    problems, doubts = list[str](), list[str]()
    sources = list[dict[str, Any]]()
    splits = dict[str, list[TaggedRow]]()
    for name in SPLITS:
        if getattr(recipe.data, name) is not None:
            found = _read_split(recipe.data, name, folder, problems, doubts, sources)
            if found is not None:
                splits[name] = found
    if "train" not in splits:
        raise DataError(f"data of {recipe.name}", problems)
    seen = [tag for row in splits["train"] for tag in row.tags]
    scheme = scheme_of(seen) if recipe.scheme == "auto" else recipe.scheme
    problems += [
        problem
        for name, rows in splits.items()
        for problem in _of_another_scheme(name, rows, scheme)
    ]
    tag_set = TagSet.of(seen, scheme, recipe.labels)
    if not problems:
        problems += _unknown_labels(splits, tag_set)
        doubts += _unused_labels(splits["train"], tag_set)
        splits = {name: _repaired(name, rows, scheme, doubts) for name, rows in splits.items()}
    held_out = [row for name in SPLITS[1:] for row in splits.get(name, [])]
    texts = [row.text for row in splits["train"]]
    settled = settle(
        leaked_texts(texts, [row.text for row in held_out]),
        texts,
        "rows also stand in dev or test",
        recipe.data.on_leak,
        allow_leak,
    )
    if settled.problem:
        problems.append(settled.problem)
    train = without(splits["train"], settled.drop)
    if not train:
        problems.append(
            "train: all rows stand in dev or test too, so that none is left to learn from"
        )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    if "test" in splits:
        doubts += small_test(len(splits["test"]))
    return TaggedSplits(
        train, splits["dev"], splits.get("test"), tag_set, sources, settled.record, doubts
    )


def read_split(file: Path, name: str) -> list[TaggedRow] | None:
    """`train`, `dev` or `test` of the tagger whose recipe is `file`, repaired; None when there is
    none or it cannot be read on this machine."""
    try:
        recipe = load_recipe(file)
    except RecipeError:
        return None
    if not isinstance(recipe, TaggingRecipe) or getattr(recipe.data, name) is None:
        return None
    rows = _read_split(recipe.data, name, file.resolve().parent, [], [], [])
    if rows is None:
        return None
    scheme = scheme_of(tag for row in rows for tag in row.tags)
    return _repaired(name, rows, scheme if recipe.scheme == "auto" else recipe.scheme, [])


def _read_split(
    data: TaggingDataRecipe,
    name: str,
    folder: Path,
    problems: list[str],
    doubts: list[str],
    sources: list[dict[str, Any]],
) -> list[TaggedRow] | None:
    """The rows of every file of a split; None where one has problems. What is wrong is added to
    `problems` or `doubts`, what was read to `sources`."""
    named, rows, whole = getattr(data, name), list[TaggedRow](), True
    for one in [named] if isinstance(named, str) else named:
        try:
            file = read_tagged(expand(one, folder), data)
        except Exception as error:
            problems.append(f"{name}: {unreadable(one, error)}")
            whole = False
            continue
        if not file.rows and not file.problems:
            file.problems.append("it has no rows")
        if file.problems:
            problems.append(f"{name}: {one}: {listed(file.problems)}")
            whole = False
        if file.widened:
            doubts.append(
                f"{name}: {one}: {file.widened} spans begin or end within a word; they are read as "
                "whole words"
            )
        digest = hashlib.sha256()
        for row in file.rows:
            digest.update(
                "\n".join(f"{w}\0{t}" for w, t in zip(row.tokens, row.tags, strict=True)).encode()
            )
        rows += file.rows
        sources.append(
            {
                "split": name,
                "source": one,
                "rows": len(file.rows),
                "sha256": digest.hexdigest(),
                "licence": data.licence,
            }
        )
    return rows if whole else None


def _of_another_scheme(name: str, rows: Sequence[TaggedRow], scheme: Scheme) -> list[str]:
    """The tags that `scheme` does not have; without a scheme any tag is one."""
    if scheme == "none":
        return []
    allowed = set(scheme) - {"O"}
    counts = Counter(
        tag for row in rows for tag in row.tags if tag != "O" and split_tag(tag)[0] not in allowed
    )
    if not counts:
        return []
    shown = ", ".join(f"{tag!r} ({count})" for tag, count in counts.most_common(5))
    return [
        f"{name}: tags {shown} are not of the scheme {scheme}, whose tags are O and "
        f"{', '.join(f'{prefix}-LABEL' for prefix in sorted(allowed))}; for a tag a word write "
        "scheme: none"
    ]


def _labels(rows: Sequence[TaggedRow], scheme: Scheme) -> list[str]:
    tags = {tag for row in rows for tag in row.tags}
    return sorted(tags) if scheme == "none" else labels_of_tags(tags)


def _unknown_labels(splits: Mapping[str, Sequence[TaggedRow]], tag_set: TagSet) -> list[str]:
    if len(tag_set.tags) < 2:
        return [
            f"train: every word has the tag {', '.join(tag_set.tags)}, so there is nothing to "
            "learn; look whether the right column is read"
        ]
    problems = []
    for name, rows in splits.items():
        unknown = [one for one in _labels(rows, tag_set.scheme) if one not in tag_set.labels]
        if unknown:
            near = {one: meant for one in unknown if (meant := near_label(one, tag_set.labels))}
            hint = "; ".join(f"is {one!r} meant for {meant!r}?" for one, meant in near.items())
            hint = f"; {hint}" if hint else ""
            problems.append(f"{name}: labels {unknown} are not among {tag_set.labels}{hint}")
    return problems


def _unused_labels(train: Sequence[TaggedRow], tag_set: TagSet) -> list[str]:
    seen = _labels(train, tag_set.scheme)
    missing = [label for label in tag_set.labels if label not in seen]
    if not missing:
        return []
    return [f"train: no word has {', '.join(missing)}, so it will never be answered"]


def _repaired(
    name: str, rows: Sequence[TaggedRow], scheme: Scheme, doubts: list[str]
) -> list[TaggedRow]:
    """The rows with tags as `scheme` wants them; how many were not is added to `doubts`."""
    kept, changed, example = list[TaggedRow](), 0, ""
    for row in rows:
        tags = repaired(row.tags, scheme)
        wrong = [
            i for i, (one, other) in enumerate(zip(row.tags, tags, strict=True)) if one != other
        ]
        changed += len(wrong)
        if wrong and not example:
            example = f"{row.tokens[wrong[0]]!r}: {row.tags[wrong[0]]} read as {tags[wrong[0]]}"
        kept.append(replace(row, tags=tags))
    if changed:
        doubts.append(f"{name}: {changed} tags were not as {scheme} has them ({example})")
    return kept
