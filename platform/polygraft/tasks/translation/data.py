"""A translation recipe's files -> pairs with splits, hashes and leak checks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

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

    def reversed(self) -> Pair:
        """The pair with source and target exchanged."""
        return replace(self, source=self.target, target=self.source, languages=self.languages[::-1])


@dataclass(frozen=True)
class PairSplits:
    """`test` is empty when the recipe has none. `sources` and `leaks` are as in
    `data.splits.Splits`."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    sources: list[dict[str, Any]]
    leaks: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs there are, by split."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}

    @property
    def listed(self) -> list[list[str]]:
        """Every pair, for the key of a run."""
        rows = list[list[str]]()
        for part in (self.train, self.dev, self.test):
            rows += [[pair.source, pair.target, *pair.languages] for pair in part]
            rows.append([])  # where the part ends
        return rows


class PairData(Protocol):
    """Where pairs come from."""

    @property
    def train(self) -> Sequence[PairFiles]: ...

    @property
    def dev(self) -> Sequence[PairFiles]: ...

    @property
    def test(self) -> Sequence[PairFiles]: ...

    @property
    def on_leak(self) -> Literal["error", "drop"]: ...


class PairRecipe(Protocol):
    """A recipe that learns from pairs."""

    @property
    def name(self) -> str: ...

    @property
    def data(self) -> PairData: ...


def load_pairs(recipe: PairRecipe, folder: Path, *, allow_leak: str | None = None) -> PairSplits:
    """Read and check every file of `recipe`, whose file lies in `folder`. `allow_leak` is the
    reason for which leaks may stay.

    Raises `DataError` with every problem found: unreadable files, files of unlike length, missing
    columns, no pairs, and training pairs of which a side stands in dev or test.
    """
    problems: list[str] = []
    sources: list[dict[str, Any]] = []
    splits: dict[str, list[Pair]] = {"train": [], "dev": [], "test": []}
    for name, pairs in splits.items():
        for files in getattr(recipe.data, name):
            pairs += _read(name, files, folder, problems, sources)
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    train, dev, test = splits["train"], splits["dev"], splits["test"]
    settled = settle(
        _leaks(train, [*dev, *test]),
        [pair.source for pair in train],
        "pairs have a side that also stands in dev or test",
        recipe.data.on_leak,
        allow_leak,
    )
    if settled.problem:
        raise DataError(f"data of {recipe.name}", [settled.problem])
    kept = [pair for i, pair in enumerate(train) if i not in settled.drop]
    if not kept and recipe.data.train:
        raise DataError(f"data of {recipe.name}", ["train: no pair is left"])
    return PairSplits(kept, dev, test, sources, settled.record)


def read_monolingual(recipe: TranslationRecipe, folder: Path) -> list[str]:
    """The lines that `recipe` says to translate back, thinned; none where it does not. Raises
    `DataError` when they cannot be read or there are none."""
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
    leaks: dict[int, Leak] = {}
    for language in {code for pair in held_out for code in pair.languages}:
        held_out_texts = [text for pair in held_out for text in pair.sides(language)]
        numbers, texts = list[int](), list[str]()
        for number, pair in enumerate(train):
            for text in pair.sides(language):
                numbers.append(number)
                texts.append(text)
        for position, leak in leaked_texts(texts, held_out_texts).items():
            leaks[numbers[position]] = leak
    return leaks


def _read(
    split: str,
    files: PairFiles,
    folder: Path,
    problems: list[str],
    sources: list[dict[str, Any]],
) -> list[Pair]:
    """The pairs of one entry of a recipe. What is wrong is added to `problems`, what was read to
    `sources`."""
    try:
        rows = _sides(files, folder)
    except Exception as error:
        problems.append(f"{split}: {unreadable(files.file, error)}")
        return []
    if files.reverse:
        rows = [(b, a) for a, b in rows]
    pairs = [
        Pair(a.strip(), b.strip(), (files.source, files.target), files.weight)
        for a, b in rows
        if a.strip() and b.strip()
    ]
    pairs = thinned(pairs, files.limit)
    if not pairs:
        problems.append(f"{split}: {files.file} has no pairs")
    digest = hashlib.sha256(
        "\n".join(f"{p.source}\t{p.target}" for p in pairs).encode()
    ).hexdigest()
    sources.append(
        {
            "split": split,
            "source": files.file,
            "rows": len(pairs),
            "sha256": digest,
            "licence": files.licence,
        }
    )
    return pairs


def _sides(files: PairFiles, folder: Path) -> list[tuple[str, str]]:
    """Source and target of every row, as they stand in the files. Raises `ValueError` for files
    that do not match."""
    if files.target_file:
        sides = [read_lines(name, folder) for name in (files.file, files.target_file)]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                f"it has {len(sides[0]):,} lines, {files.target_file} {len(sides[1]):,}; they must "
                "match line by line"
            )
        rows = list(zip(*sides, strict=True))
        if files.split_file:
            names = read_lines(files.split_file, folder)
            rows = [row for row, name in zip(rows, names, strict=False) if name == files.split]
        return rows
    if files.columns:
        records = read_source(expand(files.file, folder))
        missing = [column for column in files.columns if records and column not in records[0]]
        if missing:
            raise ValueError(
                f"it lacks column {', '.join(missing)}; it has {', '.join(records[0])}"
            )
        source, target = files.columns
        return [(str(record[source] or ""), str(record[target] or "")) for record in records]
    rows = [tuple(line.split("\t")) for line in read_lines(files.file, folder) if line.strip()]
    if bad := [i for i, row in enumerate(rows, 1) if len(row) != 2]:
        raise ValueError(
            f"line {bad[0]} has {len(rows[bad[0] - 1])} columns, not 2 ({len(bad)} such lines); "
            "name the columns if it has a header"
        )
    return rows
