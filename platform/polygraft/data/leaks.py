"""Training rows that stand in dev or test: the same text, nearly the same text, or a translation of
the same id.

Near-equal: five-character shingles of the normalised texts share at least `NEAR` of their union;
candidates come from MinHash with locality-sensitive hashing (Broder 1997, "On the resemblance and
containment of documents"; library datasketch) and are confirmed exactly. Does not: read files, or
decide what happens to a leak (see `tasks/<task>/data.py`).
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from datasketch import MinHash, MinHashLSH

Kind = Literal["equal", "near-equal", "same id"]
SHINGLE, NEAR, PERMUTATIONS = 5, 0.8, 64
CANDIDATE = NEAR - 0.1  # the estimate's error: about 0.06 with so many permutations


@dataclass(frozen=True)
class Leak:
    """Why a training row gives a held-out row away; `like` is the held-out text, or the id."""

    kind: Kind
    like: str


def normalised(text: str) -> str:
    """What counts as the same text: NFC, lower case, digits collapsed, white space folded."""
    folded = "".join("0" if c.isdigit() else c for c in unicodedata.normalize("NFC", text).lower())
    return " ".join(folded.split())


def leaked_texts(texts: Sequence[str], held_out: Sequence[str]) -> dict[int, Leak]:
    """Numbers of the `texts` that are equal or near-equal to one of `held_out`."""
    targets = list(dict.fromkeys(normalised(t) for t in held_out))
    target_shingles = [_shingles(t) for t in targets]
    equal, index = set(targets), MinHashLSH(threshold=CANDIDATE, num_perm=PERMUTATIONS)
    for i, signature in enumerate(_signatures(target_shingles)):
        index.insert(i, signature)
    leaks: dict[int, Leak] = {}
    plain_texts = [normalised(t) for t in texts]
    shingles = [_shingles(t) for t in plain_texts]
    for i, signature in enumerate(_signatures(shingles)):
        if plain_texts[i] in equal:
            leaks[i] = Leak("equal", plain_texts[i])
            continue
        likeness = {j: _likeness(shingles[i], target_shingles[j]) for j in index.query(signature)}
        closest = max(likeness, key=likeness.__getitem__, default=None)
        if closest is not None and likeness[closest] >= NEAR:
            leaks[i] = Leak("near-equal", targets[closest])
    return leaks


@lru_cache(4)  # several fits of a run ask for those of the same rows; 2 s for 4,000
def near_equal_groups(texts: tuple[str, ...]) -> tuple[int, ...]:
    """A number for each text; texts that are equal or near-equal, or linked by such texts, have the
    same."""
    plain_texts = [normalised(t) for t in texts]
    unique = {text: i for i, text in enumerate(dict.fromkeys(plain_texts))}
    shingles = [_shingles(t) for t in unique]
    group, index = list(range(len(unique))), MinHashLSH(CANDIDATE, num_perm=PERMUTATIONS)

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, signature in enumerate(_signatures(shingles)):
        for j in index.query(signature):
            if root(i) != root(j) and _likeness(shingles[i], shingles[j]) >= NEAR:
                group[root(i)] = root(j)
        index.insert(i, signature)
    return tuple(root(unique[text]) for text in plain_texts)


@dataclass(frozen=True)
class Settled:
    """What becomes of a training split's leaks: the rows to drop, what the manifest says about them
    (empty: none was found), or the problem, when nobody has decided."""

    drop: frozenset[int] = frozenset()
    record: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def settle(
    leaks: Mapping[int, Leak], texts: Sequence[str], what: str, on_leak: str, allowed: str | None
) -> Settled:
    """`what` says of the rows how they leak; `allowed` is the reason for which they may stay, or
    None."""
    if not leaks:
        return Settled()
    record: dict[str, Any] = dict(Counter(leak.kind for leak in leaks.values()).most_common())
    if allowed is not None:
        return Settled(record=record | {"done": f"allowed: {allowed}"})
    if on_leak == "drop":
        return Settled(frozenset(leaks), record | {"done": "dropped"})
    examples = []
    for kind in record:
        row = next(i for i, leak in leaks.items() if leak.kind == kind)
        like = f" ~ {leaks[row].like[:60]!r}" if kind == "near-equal" else ""
        examples.append(f"{record[kind]} {kind}, e.g. {texts[row][:60]!r}{like}")
    return Settled(
        problem=f"train: {len(leaks)} {what} ({'; '.join(examples)}); remove them, set "
        "data.on_leak: drop, or say why they may stay with --allow-leak REASON"
    )


def sentence(record: Mapping[str, Any]) -> str:
    """The record for people."""
    counts = ", ".join(
        f"{count} {kind}" for kind, count in record.items() if kind not in ("done", "given_away")
    )
    findings = [f"Training rows that stand in dev or test ({counts})"] if counts else []
    if hints := record.get("given_away"):
        scores = ", ".join(f"{name} ({score}%)" for name, score in hints.items())
        findings.append(f"The label is given away by {scores}")
    return f"{'. '.join(findings)}: {record['done']}."


def _shingles(text: str) -> set[str]:
    return {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _signatures(shingles: Sequence[set[str]]) -> list[MinHash]:
    """Of each text's shingles."""
    rows = ([shingle.encode() for shingle in of_text] for of_text in shingles)
    return list(MinHash.generator(rows, num_perm=PERMUTATIONS, hashfunc=zlib.crc32))
