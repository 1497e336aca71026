"""A translation recipe's files -> pairs with splits, hashes and leak checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polygraft.data import normalised, read_lines, read_source, thinned, unreadable
from polygraft.errors import DataError
from polygraft.recipe import PairFiles, TranslationRecipe, expand


@dataclass(frozen=True)
class Pair:
    """One sentence, its translation, and how often to draw it."""

    source: str
    target: str
    languages: tuple[str, str]
    weight: float = 1.0

    def turned(self) -> Pair:
        return replace(self, source=self.target, target=self.source, languages=self.languages[::-1])


@dataclass(frozen=True)
class PairSplits:
    """`test` is empty when the recipe has none. `sources`: file, rows, SHA-256 and licence of each, for the manifest."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    sources: list[dict[str, Any]]
    dropped: int = 0


def load_pairs(recipe: TranslationRecipe, folder: Path) -> PairSplits:
    """Read and check every file of `recipe`, whose file lies in `folder`.

    Raises `DataError` with every problem found: unreadable files, files of unlike length, missing columns, no pairs, and
    training pairs of which a side stands in dev or test.
    """
    problems: list[str] = []
    sources: list[dict[str, Any]] = []
    train, dev, test = (
        [pair for one in getattr(recipe.data, name) for pair in _read(name, one, folder, problems, sources)]
        for name in ("train", "dev", "test")
    )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    held = {
        (side, normalised(text)) for p in [*dev, *test] for side, text in zip(p.languages, (p.source, p.target), strict=True)
    }
    kept = [p for p in train if not _stands_in(p, held)]
    if len(kept) < len(train) and recipe.data.on_leak == "error":
        leaked = next(p for p in train if _stands_in(p, held))
        raise DataError(
            f"data of {recipe.name}",
            [
                f"train: {len(train) - len(kept)} pairs have a side that also stands in dev or test, e.g. "
                f"{leaked.source[:60]!r}; remove them, or set data.on_leak: drop"
            ],
        )
    if not kept:
        raise DataError(f"data of {recipe.name}", ["train: no pair is left"])
    return PairSplits(kept, dev, test, sources, len(train) - len(kept))


def _stands_in(pair: Pair, held: set[tuple[str, str]]) -> bool:
    sides = zip(pair.languages, (pair.source, pair.target), strict=True)
    return any((language, normalised(text)) in held for language, text in sides)


def _read(split: str, one: PairFiles, folder: Path, problems: list[str], seen: list[dict[str, Any]]) -> list[Pair]:
    try:
        rows = _sides(one, folder)
    except Exception as error:
        problems.append(f"{split}: {unreadable(one.file, error)}")
        return []
    if one.reverse:
        rows = [(b, a) for a, b in rows]
    pairs = [Pair(a.strip(), b.strip(), (one.source, one.target), one.weight) for a, b in rows if a.strip() and b.strip()]
    pairs = thinned(pairs, one.limit)
    if not pairs:
        problems.append(f"{split}: {one.file} has no pairs")
    digest = hashlib.sha256("\n".join(f"{p.source}\t{p.target}" for p in pairs).encode()).hexdigest()
    seen.append({"split": split, "source": one.file, "rows": len(pairs), "sha256": digest, "licence": one.licence})
    return pairs


def _sides(one: PairFiles, folder: Path) -> list[tuple[str, str]]:
    if one.target_file:
        sides = [read_lines(name, folder) for name in (one.file, one.target_file)]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                f"it has {len(sides[0]):,} lines, {one.target_file} {len(sides[1]):,}; they must match line by line"
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
