"""Parallel text for pretraining: files on disk -> (language, English, translation) rows -> a
sampling plan.

Three layouts are read, all gzip text: `pairs` (English, tab, translation a line; `reverse: true`
when the English side is second), `aligned` (one file a language, line i is the same segment in
each, an empty line means missing) and `records` (JSON Lines, one file a language, `text` with the
same `id` is the same message). Does not: tokenize, or touch evaluation data. SIB-200 / FLORES text
must never be listed in a recipe.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import sentencex
from numpy.typing import NDArray

from polygraft.pretrain.recipe import Corpus, Monolingual, PretrainRecipe

MAX_CHARACTERS = 400


@dataclass(frozen=True)
class EnglishPair:
    """One translation: `english` and `text` say the same; `weight` is its corpus's sampling weight,
    `domain` its corpus's."""

    language: str
    english: str
    text: str
    weight: float
    domain: str | None = None


def read_lines(path: Path) -> list[str]:
    """All lines of a gzip text file, NFC, stripped."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [unicodedata.normalize("NFC", line).strip() for line in lines]


def read_other_splits(recipe: PretrainRecipe, root: Path) -> Iterator[str]:
    """Every line of the aligned corpora that their split file does not give to training."""
    for corpus in recipe.corpora:
        if not corpus.split_file:
            continue
        splits = read_lines(root / corpus.split_file)
        for language in {corpus.english, *corpus.languages}:
            lines = read_lines(root / corpus.path.format(lang=language))
            yield from (
                line for line, split in zip(lines, splits, strict=True) if split != "train" and line
            )


def _by_id(path: Path) -> dict[str, str]:
    """`text` by `id` of JSON Lines: the translations of a message have its id."""
    records = (json.loads(line) for line in read_lines(path) if line)
    return {str(r["id"]): str(r["text"]) for r in records}


def read_corpus(corpus: Corpus, root: Path) -> list[EnglishPair]:
    """The usable pairs of one corpus: neither side is missing or too long."""
    pairs = []
    for language in corpus.languages:
        code = language.split("_")[0]
        for english, text in _sides(corpus, language, root):
            if 0 < len(english) <= MAX_CHARACTERS and 0 < len(text) <= MAX_CHARACTERS:
                pairs.append(EnglishPair(code, english, text, corpus.weight, corpus.domain))
    return pairs


def _sides(corpus: Corpus, language: str, root: Path) -> list[tuple[str, str]]:
    """The English side and the other of every row, as the corpus's layout has them."""
    file, english_file = (
        root / corpus.path.format(lang=name) for name in (language, corpus.english)
    )
    if corpus.layout == "pairs":
        rows = [columns for line in read_lines(file) if len(columns := line.split("\t")) == 2]
        return [(b, a) if corpus.reverse else (a, b) for a, b in rows]
    if corpus.layout == "records":
        english, other = _by_id(english_file), _by_id(file)
        return [(english[key], text) for key, text in other.items() if key in english]
    sides = list(zip(read_lines(english_file), read_lines(file), strict=True))
    if corpus.split_file:
        splits = read_lines(root / corpus.split_file)
        sides = [side for side, split in zip(sides, splits, strict=True) if split == corpus.split]
    return sides


@dataclass(frozen=True)
class TrainingText:
    """The text to learn from: translations, and monolingual lines by language."""

    pairs: list[EnglishPair]
    lines: dict[str, list[str]]

    @cached_property
    def english(self) -> list[str]:
        """The distinct English sides."""
        return sorted({pair.english for pair in self.pairs})

    @cached_property
    def foreign(self) -> dict[str, list[str]]:
        """Every other text, by language."""
        text: dict[str, list[str]] = defaultdict(list)
        for pair in self.pairs:
            text[pair.language].append(pair.text)
        for language, lines in self.lines.items():
            text[language] += lines
        return dict(text)


def read_text(recipe: PretrainRecipe, root: Path) -> TrainingText:
    """Every usable pair of every corpus, in recipe order, and the monolingual files."""
    pairs = [pair for corpus in recipe.corpora for pair in read_corpus(corpus, root)]
    lines: dict[str, list[str]] = defaultdict(list)
    for part in recipe.monolingual:
        for language in part.languages:
            lines[language] += _lines(part, root / part.path.format(lang=language), language)
    return TrainingText(pairs, dict(lines))


def _lines(part: Monolingual, file: Path, language: str) -> list[str]:
    lines = [line for line in read_lines(file) if line]
    if part.layout == "lines":
        return lines
    articles = [str(json.loads(line)["text"]) for line in lines]
    sentences = [s.strip() for article in articles for s in sentencex.segment(language, article)]
    return [s for s in dict.fromkeys(sentences) if 0 < len(s) <= MAX_CHARACTERS]


def plan(pairs: list[EnglishPair], *, draws: int, exponent: float, seed: int) -> NDArray[np.int64]:
    """Indices into `pairs`, [draws], sampled so that a language's share is (its weighted size) **
    exponent.

    A pair repeats only after its language and weight class are used up. Same arguments, same plan:
    that is what makes pretraining resumable by step number alone.
    """
    rng = np.random.default_rng(seed)
    buckets: dict[tuple[str, float], list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        buckets[pair.language, pair.weight].append(i)
    mass: dict[str, float] = defaultdict(float)
    for (language, weight), rows in buckets.items():
        mass[language] += weight * len(rows)
    total = sum(m**exponent for m in mass.values())
    chosen = []
    for (language, weight), rows in buckets.items():
        share = mass[language] ** exponent / total * (weight * len(rows) / mass[language])
        count = round(draws * share)
        rounds = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
        chosen.append(np.concatenate(rounds)[:count] if rounds else np.zeros(0, np.int64))
    return rng.permutation(np.concatenate(chosen))
