"""Goldens compared: whether an adapter in its slots gives what it gave when it was trained.

What goldens prove is integrity: these weights, on this backbone and through these slots, do what
they did in training, and what the bare backbone does is something else. How far off they may be is
measured here, against what the bare backbone gives to the same texts now, never against what the
manifest says that it gave. What they do not prove is that the author was honest, or the adapter
good: goldens are written by whoever made it, and a bad adapter has true ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import ArrayLike

from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.tasks.serving import Floats

TOLERANCE, TEXT_MARGIN = 0.3, 0.25
MIN_EFFECT = 0.01
"""Of the length of the bare backbone's outputs: what moves them less does nothing. (What moves them
little more is lost in the noise of int8, and refused by `TOLERANCE`.)"""
# texts of the adapter and of the bare backbone, over all goldens: bundled adapters have 0.2 to 0.5
MAX_ALIKE = 0.95


def compare_numbers(
    name: str, now: Floats, bare: Floats, then: ArrayLike, then_bare: ArrayLike
) -> None:
    """Outputs of the adapter `name` for its golden texts, and of the bare backbone: of now, and as
    the manifest keeps them.

    Raises `GoldenMismatch` when the adapter does nothing, or when those kept, with the adapter or
    without, are further from those of now than `TOLERANCE` of the way between the two.
    """
    if not effect(now, bare) >= MIN_EFFECT:
        raise _does_nothing(name)
    allowed = TOLERANCE * float(np.linalg.norm(now - bare))
    for what, drift in (
        ("the outputs", now - np.array(then)),
        ("the outputs without it", bare - np.array(then_bare)),
    ):
        distance = float(np.linalg.norm(drift))
        if not distance <= allowed:
            raise GoldenMismatch(
                f"adapter {name!r} does not give {what} it gave when it was trained (distance "
                f"{distance:.3f}, allowed {allowed:.3f}); its files or the backbone's graph "
                "changed: train or export again"
            )


def compare_texts(
    name: str,
    now: Sequence[str],
    bare: Sequence[str],
    then: Sequence[str],
    then_bare: Sequence[str],
) -> None:
    """The same for what an adapter writes.

    Raises `GoldenMismatch` when, over all goldens, adapter and bare backbone write nearly the same
    now; or when either is not closer to what the manifest keeps of it than to what it keeps of the
    other, by `TEXT_MARGIN` of the room between the two texts of now. (int8 changes words, more so
    on some processors, but it does not make them more like the bare backbone's.)
    """
    alike = _mean_likeness(now, bare)
    if alike > MAX_ALIKE:
        raise _does_nothing(name)
    margin = TEXT_MARGIN * (1 - alike)
    for what, texts, own, other in (
        ("what it wrote", now, then, then_bare),
        ("what was written without it", bare, then_bare, then),
    ):
        near, far = _mean_likeness(texts, own), _mean_likeness(texts, other)
        if not near - far >= margin:
            raise GoldenMismatch(
                f"adapter {name!r} does not write {what} when it was trained (likeness {near:.2f}, "
                f"to the other's {far:.2f}, wanted {margin:.2f} more); its files or the backbone's "
                "graph changed: train or export again"
            )


def same_width(name: str, what: str, width: int, hidden: int) -> None:
    """Raises `AdapterError` for a head, or vectors, of another width than the backbone's."""
    if width != hidden:
        raise AdapterError(
            f"adapter {name!r}: its {what} {width} values, and this backbone's vectors have "
            f"{hidden}; train it on this one"
        )


def effect(now: Floats, bare: Floats) -> float:
    """How far the outputs were moved, in lengths of the bare ones."""
    return float(np.linalg.norm(now - bare)) / max(float(np.linalg.norm(bare)), 1e-12)


def likeness(a: str, b: str) -> float:
    """0 to 1: the share of characters in matching blocks (Ratcliff & Obershelp)."""
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _mean_likeness(texts: Sequence[str], others: Sequence[str]) -> float:
    return float(np.mean([likeness(a, b) for a, b in zip(texts, others, strict=True)]))


def _does_nothing(name: str) -> GoldenMismatch:
    return GoldenMismatch(
        f"adapter {name!r} does not give the outputs it gave when it was trained: it answers like "
        "the bare backbone; its weights are (nearly) zero or were not applied: train it again"
    )
