"""A translation recipe's files -> pairs with splits, hashes and leak checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polygraft.data.leaks import Leak, leaked_texts, settle
from polygraft.data.reading import read_lines, read_source, thinned, unreadable
from polygraft.errors import DataError
from polygraft.tasks.recipe import expand
from polygraft.tasks.translation.recipe import PairFiles, TranslationRecipe


@dataclass(frozen=True)
class Pair:
    """One sentence, its translation, and how often to draw it."""

    source: str
    target: str
    languages: tuple[str, str]
    weight: float = 1.0

    def sides(self, language: str) -> list[str]:
        """Its texts in `language`."""
        return [
            t
            for code, t in zip(self.languages, (self.source, self.target), strict=True)
            if code == language
        ]

    def turned(self) -> Pair:
        return replace(self, source=self.target, target=self.source, languages=self.languages[::-1])


@dataclass(frozen=True)
class PairSplits:
    """`test` is empty when the recipe has none. `sources` and `leaks` as those of labelled rows."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    sources: list[dict[str, Any]]
    leaks: dict[str, Any]


def load_pairs(
    recipe: TranslationRecipe, folder: Path, *, allow_leak: str | None = None
) -> PairSplits:
    """Read and check every file of `recipe`, whose file lies in `folder`. `allow_leak` is the
    reason for which leaks may stay.

    Raises `DataError` with every problem found: unreadable files, files of unlike length, missing
    columns, no pairs, and training pairs of which a side stands in dev or test.
    """
    problems: list[str] = []
    sources: list[dict[str, Any]] = []
    train, dev, test = (
        [
            pair
            for one in getattr(recipe.data, name)
            for pair in _read(name, one, folder, problems, sources)
        ]
        for name in ("train", "dev", "test")
    )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    leaks = _leaks(train, [*dev, *test])
    what = "pairs have a side that also stands in dev or test"
    settled = settle(leaks, [p.source for p in train], what, recipe.data.on_leak, allow_leak)
    if settled.problem:
        raise DataError(f"data of {recipe.name}", [settled.problem])
    kept = [p for i, p in enumerate(train) if i not in settled.drop]
    if not kept:
        raise DataError(f"data of {recipe.name}", ["train: no pair is left"])
    return PairSplits(kept, dev, test, sources, settled.record)


def read_monolingual(recipe: TranslationRecipe, folder: Path) -> list[str]:
    """The text that `recipe` says to translate back, thinned; none when it says nothing. Raises
    `DataError` when it cannot be read or is empty."""
    wanted = recipe.back_translation
    if wanted is None:
        return []
    try:
        lines = [line.strip() for line in read_lines(wanted.file, folder)]
    except Exception as error:
        raise DataError(
            f"data of {recipe.name}", [f"back_translation: {unreadable(wanted.file, error)}"]
        ) from None
    if not any(lines):
        raise DataError(
            f"data of {recipe.name}",
            [f"back_translation: {wanted.file} has no text; give a sentence a line"],
        )
    return thinned([line for line in lines if line], wanted.lines)


def _leaks(train: list[Pair], held_out: list[Pair]) -> dict[int, Leak]:
    """Training pairs of which a side is, or is nearly, a held-out text of the same language."""
    found: dict[int, Leak] = {}
    for language in {code for p in held_out for code in p.languages}:
        held = [text for p in held_out for text in p.sides(language)]
        ours = [(i, text) for i, p in enumerate(train) for text in p.sides(language)]
        leaked = leaked_texts([text for _, text in ours], held)
        found |= {ours[at][0]: leak for at, leak in leaked.items()}
    return found


def _read(
    split: str, one: PairFiles, folder: Path, problems: list[str], seen: list[dict[str, Any]]
) -> list[Pair]:
    try:
        rows = _sides(one, folder)
    except Exception as error:
        problems.append(f"{split}: {unreadable(one.file, error)}")
        return []
    if one.reverse:
        rows = [(b, a) for a, b in rows]
    pairs = [
        Pair(a.strip(), b.strip(), (one.source, one.target), one.weight)
        for a, b in rows
        if a.strip() and b.strip()
    ]
    pairs = thinned(pairs, one.limit)
    if not pairs:
        problems.append(f"{split}: {one.file} has no pairs")
    digest = hashlib.sha256(
        "\n".join(f"{p.source}\t{p.target}" for p in pairs).encode()
    ).hexdigest()
    seen.append(
        {
            "split": split,
            "source": one.file,
            "rows": len(pairs),
            "sha256": digest,
            "licence": one.licence,
        }
    )
    return pairs


def _sides(one: PairFiles, folder: Path) -> list[tuple[str, str]]:
    if one.target_file:
        sides = [read_lines(name, folder) for name in (one.file, one.target_file)]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                f"it has {len(sides[0]):,} lines, {one.target_file} {len(sides[1]):,}; they must "
                "match line by line"
            )
        rows = list(zip(*sides, strict=True))
        if one.split_file:
            names = read_lines(one.split_file, folder)
            rows = [row for row, name in zip(rows, names, strict=False) if name == one.split]
        return rows
    if one.columns:
        found = read_source(expand(one.file, folder))
        missing = [c for c in one.columns if found and c not in found[0]]
        if missing:
            raise ValueError(f"it lacks column {', '.join(missing)}; it has {', '.join(found[0])}")
        return [(str(r[one.columns[0]] or ""), str(r[one.columns[1]] or "")) for r in found]
    rows = [tuple(line.split("\t")) for line in read_lines(one.file, folder) if line.strip()]
    if bad := [i for i, row in enumerate(rows, 1) if len(row) != 2]:
        raise ValueError(
            f"line {bad[0]} has {len(rows[bad[0] - 1])} columns, not 2 ({len(bad)} such lines); "
            "name the columns if it has a header"
        )
    return rows
