"""Goldens replayed: proof that an adapter in its slots gives what it gave when it was trained.

What they prove is integrity: these weights, on this backbone and through these slots, do what they did in training, and what
the bare backbone does is something else. How far off they may be is measured here, against what the bare backbone gives to the
same texts now, never against what the manifest says that it gave. What they do not prove is that the author was honest, or the
adapter good: goldens are written by whoever made it, and a bad adapter has true ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from polygraft.adapters.format import Golden, GoldenText, GoldenVector
from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.runtime.graph import Floats
from polygraft.runtime.residents import Resident

TOLERANCE, TEXT_MARGIN = 0.3, 0.25
LEAST_EFFECT = 0.01
"""Of the length of the bare backbone's outputs: what moves them less does nothing. (What moves them little more is lost in the
noise of int8, and refused by `TOLERANCE`.)"""
MOST_ALIKE = 0.95  # texts of the adapter and of the bare backbone, over all goldens: bundled adapters have 0.2 to 0.5


def numbers(resident: Resident, pooled: Floats, bare_pooled: Floats) -> None:
    """`pooled` [goldens, hidden] of the golden texts through the adapter's slots, `bare_pooled` of the same through slot 0.

    Raises `AdapterError` for a head, or vectors, of another width than the backbone's; `GoldenMismatch` when the adapter does
    nothing, or when the manifest's logits (a language adapter's unit vectors), with the adapter or without, are further from
    those of now than `TOLERANCE` of the way between the two.
    """
    adapter, manifest = resident.adapter, resident.adapter.manifest
    goldens: Sequence[Golden | GoldenVector] = manifest.golden or manifest.golden_vectors
    width = pooled.shape[1]
    if adapter.head is not None:
        for head in (adapter.head, *adapter.heads.values()):
            _same_width(adapter.name, "head reads", head.weight.shape[1], width)
        now, bare = adapter.head.logits(pooled), adapter.head.logits(bare_pooled)
        if _effect(now, bare) < LEAST_EFFECT:  # a head on the bare backbone, whose goldens say so
            bare = np.tile(adapter.head.bias, (len(now), 1))
    else:
        _same_width(adapter.name, "golden vectors have", len(manifest.golden_vectors[0].vector), width)
        now, bare = _unit(pooled), _unit(bare_pooled)
    then = np.array([g.logits if isinstance(g, Golden) else g.vector for g in goldens])
    then_bare = np.array([g.bare for g in goldens])
    if not _effect(now, bare) >= LEAST_EFFECT:
        raise _does_nothing(adapter.name)
    allowed = TOLERANCE * float(np.linalg.norm(now - bare))
    for what, drift in (("the outputs", now - then), ("the outputs without it", bare - then_bare)):
        distance = float(np.linalg.norm(drift))
        if not distance <= allowed:
            raise GoldenMismatch(
                f"adapter {adapter.name!r} does not give {what} it gave when it was trained (distance {distance:.3f}, "
                f"allowed {allowed:.3f}); its files or the backbone's graph changed: train or export again"
            )


def translation(resident: Resident, now: Sequence[str], bare: Sequence[str]) -> None:
    """`now` is what the adapter writes for its golden texts, `bare` what the bare backbone (slot 0) writes.

    Raises `GoldenMismatch` when, over all goldens, the two are nearly the same; or when either is not closer to what the
    manifest says that it wrote than to what it says of the other, by `TEXT_MARGIN` of the room between the two texts of now.
    (int8 changes words, more so on some processors, but it does not make them more like the bare backbone's.)
    """
    golden: list[GoldenText] = resident.adapter.manifest.golden_texts
    name, written, without = resident.adapter.name, [g.written for g in golden], [g.bare for g in golden]
    alike = _mean_likeness(now, bare)
    if alike > MOST_ALIKE:
        raise _does_nothing(name)
    margin = TEXT_MARGIN * (1 - alike)
    for what, texts, own, other in (
        ("what it wrote", now, written, without),
        ("what was written without it", bare, without, written),
    ):
        near, far = _mean_likeness(texts, own), _mean_likeness(texts, other)
        if not near - far >= margin:
            raise GoldenMismatch(
                f"adapter {name!r} does not write {what} when it was trained (likeness {near:.2f}, to the other's {far:.2f}, "
                f"wanted {margin:.2f} more); its files or the backbone's graph changed: train or export again"
            )


def likeness(a: str, b: str) -> float:
    """0 to 1: the share of characters in matching blocks (Ratcliff & Obershelp)."""
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _mean_likeness(texts: Sequence[str], others: Sequence[str]) -> float:
    return float(np.mean([likeness(a, b) for a, b in zip(texts, others, strict=True)]))


def _effect(now: Floats, bare: Floats) -> float:
    """How far the outputs were moved, in lengths of the bare ones."""
    return float(np.linalg.norm(now - bare)) / max(float(np.linalg.norm(bare)), 1e-12)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _same_width(name: str, what: str, found: int, hidden: int) -> None:
    if found != hidden:
        raise AdapterError(
            f"adapter {name!r}: its {what} {found} values, and this backbone's vectors have {hidden}; train it on this one"
        )


def _does_nothing(name: str) -> GoldenMismatch:
    return GoldenMismatch(
        f"adapter {name!r} does not give the outputs it gave when it was trained: it answers like the bare backbone; "
        "its weights are (nearly) zero or were not applied: train it again"
    )
