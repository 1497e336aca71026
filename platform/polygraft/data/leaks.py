"""Training rows that stand in dev or test: the same text, nearly the same text, or a translation of
the same id.

Near-equal: five-character shingles of the normalised texts share at least `NEAR` of their union;
candidates come from MinHash with locality-sensitive hashing (Broder 1997, "On the resemblance and
containment of documents"; library datasketch) and are confirmed exactly. Does not: read files, or
decide what happens to a leak (see `data`).
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    plain = list(dict.fromkeys(normalised(t) for t in held_out))
    known, index = set(plain), MinHashLSH(threshold=CANDIDATE, num_perm=PERMUTATIONS)
    shingled = [_shingles(t) for t in plain]
    for i, signature in enumerate(_signatures(shingled)):
        index.insert(i, signature)
    found: dict[int, Leak] = {}
    ours = [normalised(t) for t in texts]
    pieces = [_shingles(t) for t in ours]
    for i, signature in enumerate(_signatures(pieces)):
        if ours[i] in known:
            found[i] = Leak("equal", ours[i])
            continue
        likeness = {
            j: len(pieces[i] & shingled[j]) / len(pieces[i] | shingled[j])
            for j in index.query(signature)
        }
        closest = max(likeness, key=likeness.__getitem__, default=None)
        if closest is not None and likeness[closest] >= NEAR:
            found[i] = Leak("near-equal", plain[closest])
    return found


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
        "data.on_leak: drop, or say why they "
        "may stay with --allow-leak REASON"
    )


def sentence(record: Mapping[str, Any]) -> str:
    """The record for people."""
    counts = ", ".join(
        f"{count} {kind}" for kind, count in record.items() if kind not in ("done", "given_away")
    )
    found = [f"Training rows that stand in dev or test ({counts})"] if counts else []
    if hints := record.get("given_away"):
        found.append(
            "The label is given away by "
            + ", ".join(f"{name} ({score}%)" for name, score in hints.items())
        )
    return f"{'. '.join(found)}: {record['done']}."


def _shingles(text: str) -> set[str]:
    return {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}


def _signatures(shingled: Sequence[set[str]]) -> list[MinHash]:
    rows = ([piece.encode() for piece in pieces] for pieces in shingled)
    return list(MinHash.generator(rows, num_perm=PERMUTATIONS, hashfunc=zlib.crc32))
