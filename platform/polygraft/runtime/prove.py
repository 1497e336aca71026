"""Goldens replayed: proof that an adapter in its slots gives what it gave when it was trained."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher

import numpy as np

from polygraft.adapter import GoldenText
from polygraft.errors import GoldenMismatch
from polygraft.runtime.graph import Floats
from polygraft.runtime.residents import Resident

TOLERANCE, TEXT_MARGIN = 0.3, 0.25


def numbers(resident: Resident, pooled: Floats) -> None:
    """`pooled` [goldens, hidden], of the golden texts through the adapter's slots. Raises `GoldenMismatch` when the logits, or
    a language adapter's unit vectors, are further from those of the training than `TOLERANCE` of the way to the bare
    backbone's."""
    adapter, golden = resident.adapter, resident.adapter.manifest
    if adapter.head is not None:
        now = adapter.head.logits(pooled)
        then, bare = np.array([g.logits for g in golden.golden]), np.array([g.bare for g in golden.golden])
    else:
        now = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        then, bare = np.array([g.vector for g in golden.golden_vectors]), np.array([g.bare for g in golden.golden_vectors])
    drift, gap = float(np.linalg.norm(now - then)), float(np.linalg.norm(bare - then))
    if not drift <= TOLERANCE * gap:
        raise GoldenMismatch(
            f"adapter {adapter.name!r} does not give the outputs it gave when it was trained (distance {drift:.3f}, "
            f"allowed {TOLERANCE * gap:.3f}); its files or the backbone's graph changed: train or export again"
        )


def translation(resident: Resident, write: Callable[[Resident, list[str], list[str]], list[str]]) -> None:
    """`write(resident, texts, targets)` translates. Raises `GoldenMismatch` when what it writes is, over all goldens, not
    closer to what the adapter wrote when it was trained than to what the bare backbone wrote, by `TEXT_MARGIN` of the room.
    (int8 changes words, more so on some processors, but it does not make them more like the bare backbone's.)"""
    golden: list[GoldenText] = resident.adapter.manifest.golden_texts
    now = write(resident, [g.text for g in golden], [g.target for g in golden])
    then = float(np.mean([likeness(a, g.written) for a, g in zip(now, golden, strict=True)]))
    bare = float(np.mean([likeness(a, g.bare) for a, g in zip(now, golden, strict=True)]))
    apart = float(np.mean([likeness(g.bare, g.written) for g in golden]))
    if not then - bare >= TEXT_MARGIN * (1 - apart):
        raise GoldenMismatch(
            f"adapter {resident.adapter.name!r} does not write what it wrote when it was trained (likeness {then:.2f}, to the "
            f"bare backbone's {bare:.2f}); its files or the backbone's graph changed: train or export again"
        )


def likeness(a: str, b: str) -> float:
    """0 to 1: the share of characters in matching blocks (Ratcliff & Obershelp)."""
    return SequenceMatcher(None, a, b, autojunk=False).ratio()
