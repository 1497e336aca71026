"""Is evaluation text in the training text? By whole lines and by 8-grams of words, both after
normalisation.

A training row is a finding when one of its sides is, once normalised, equal to an evaluation line
of at least `LEAST_WORDS` words, or shares `GRAM` consecutive words with one (GPT-3, Brown et al.
2020, appendix C, used 13; a sentence is short). Findings are dropped and counted, never kept. Does
not know which files are evaluation data: the recipe says so.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polygraft.pretrain.corpus import EnglishPair, TrainingText, read_lines

GRAM = 8
LEAST_WORDS = 4
MULTIPLIERS = np.random.default_rng(8).integers(1, 2**63, GRAM, dtype=np.uint64) | np.uint64(1)
WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Case-folded words without punctuation, accents kept (they tell words apart in Yoruba and
    Hawaiian)."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True)
class Fingerprints:
    """64-bit hashes, sorted: of whole lines, and of every run of `GRAM` words."""

    lines: NDArray[np.uint64]
    grams: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Fingerprints:
        """Fingerprints of evaluation lines."""
        lines, grams = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for text in texts:
            hashes = _hash_words(words(text))
            if len(hashes) >= LEAST_WORDS:
                lines.append(_hash_line(hashes))
            grams.append(_hash_grams(hashes))
        return cls(np.unique(np.concatenate(lines)), np.unique(np.concatenate(grams)))

    def finds(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """For each text 0: clean, 1: equal to a line, 2: shares an 8-gram; int8 [len(texts)]."""
        kinds = np.zeros(len(texts), np.int8)
        hashed = [_hash_words(words(text)) for text in texts]
        grams = [_hash_grams(hashes) for hashes in hashed]
        text_of_gram = np.repeat(np.arange(len(texts)), [len(g) for g in grams])
        if len(text_of_gram):
            kinds[text_of_gram[_among(np.concatenate(grams), self.grams)]] = 2
        long = np.array([i for i, h in enumerate(hashed) if len(h) >= LEAST_WORDS], np.int64)
        if len(long):
            lines = np.concatenate([_hash_line(hashed[i]) for i in long])
            kinds[long[_among(lines, self.lines)]] = 1
        return kinds


def _hash_words(text: list[str]) -> NDArray[np.uint64]:
    return np.array(
        [int.from_bytes(w.encode()[:64].ljust(8, b"\0"), "little") % (2**61 - 1) for w in text],
        np.uint64,
    )


def _hash_line(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = np.uint64(len(hashes))
    with np.errstate(over="ignore"):
        for h in hashes:
            value = (value ^ h) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(29)
    return np.array([value], np.uint64)


def _hash_grams(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if len(hashes) < GRAM:
        return np.zeros(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(hashes, GRAM)
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = (windows * MULTIPLIERS).sum(axis=1, dtype=np.uint64)
    return mixed


def _among(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `values` are in `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(values), bool)
    position = np.searchsorted(known, values).clip(max=len(known) - 1)
    equal: NDArray[np.bool_] = known[position] == values
    return equal


@dataclass(frozen=True)
class Report:
    """What was found, for the card: `rows` and findings of each kind by corpus name, with a few
    examples."""

    files: list[str]
    lines: int
    grams: int
    found: dict[str, dict[str, int]]
    examples: list[str]


def clean(
    text: TrainingText, root: Path, globs: Sequence[str], more: Iterable[str] = ()
) -> tuple[TrainingText, Report]:
    """The text without the findings, and the report on them. `more` is held-out text beside that of
    the files that `globs` name.

    Raises `FileNotFoundError` for a glob that matches nothing: a check that reads nothing proves
    nothing.
    """
    files: list[Path] = []
    for pattern in globs:
        matched = sorted(root.glob(pattern))
        if not matched:
            raise FileNotFoundError(
                f"held_out: {pattern!r} matches no file under {root}; correct the recipe"
            )
        files += matched
    known = Fingerprints.of(
        itertools.chain(more, (line for file in files for line in read_texts(file)))
    )
    findings: dict[str, dict[str, int]] = {}
    examples: list[str] = []

    def note(name: str, kinds: NDArray[np.int8], texts: Sequence[str]) -> None:
        counts = findings.setdefault(name, {"rows": 0, "equal_line": 0, "shared_gram": 0})
        counts["rows"] += len(kinds)
        counts["equal_line"] += int((kinds == 1).sum())
        counts["shared_gram"] += int((kinds == 2).sum())
        examples.extend(
            f"{name}: {texts[i]}"[:200] for i in np.flatnonzero(kinds)[:2] if len(examples) < 40
        )

    kept: list[EnglishPair] = []
    for language in sorted({p.language for p in text.pairs}):
        own = [p for p in text.pairs if p.language == language]
        kinds = np.maximum(
            known.finds([p.english for p in own]), known.finds([p.text for p in own])
        )
        note(f"pairs {language}", kinds, [p.text for p in own])
        kept += [p for p, kind in zip(own, kinds, strict=True) if not kind]
    cleaned = {}
    for language, lines in text.lines.items():
        kinds = known.finds(lines)
        note(f"lines {language}", kinds, lines)
        cleaned[language] = [line for line, kind in zip(lines, kinds, strict=True) if not kind]
    names = [str(f.relative_to(root)) for f in files]
    return TrainingText(kept, cleaned), Report(
        names, len(known.lines), len(known.grams), findings, examples
    )


def read_texts(file: Path) -> Iterator[str]:
    """Every text of an evaluation file: plain lines, tab-separated columns, or the string fields of
    JSON Lines."""
    for line in read_lines(file):
        if ".jsonl" in file.name:
            row = json.loads(line)
            tokens = row.get("tokens")
            yield " ".join(tokens) if tokens else str(row.get("text", ""))
        else:
            yield from line.split("\t")
