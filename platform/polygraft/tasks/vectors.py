"""Goldens of adapters whose outputs are sentence vectors: the text with its unit vector, with the
adapter when it was trained, and of the bare backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from polygraft.adapters.format import Adapter
from polygraft.adapters.manifest import GoldenInput, Values
from polygraft.errors import GoldenMismatch
from polygraft.tasks.goldens import MIN_EFFECT, compare_numbers, effect, same_width
from polygraft.tasks.serving import Floats, Replay

LENGTH_TOLERANCE = 0.01  # how far the length of a unit vector may be from 1
MAX_DRIFT = 0.1
"""Of the bare backbone's unit vectors from those kept, by distance: int8 is 0.04 from float32."""


class GoldenVector(GoldenInput):
    """One input and its unit sentence vector: with the adapter when it was trained, and of the bare
    backbone."""

    vector: Values
    bare: Values


def vector_problems(goldens: Sequence[GoldenVector]) -> Iterator[str]:
    """What is wrong with the `golden_vectors` of a manifest."""
    lengths = {len(golden.vector) for golden in goldens}
    for i, golden in enumerate(goldens):
        if len(lengths) > 1 or len(golden.bare) != len(golden.vector) or not golden.vector:
            yield (
                f"golden_vectors.{i}: vectors of {len(golden.vector)} and {len(golden.bare)} "
                "values; all have the backbone's hidden size"
            )
            continue
        for name, values in (("vector", golden.vector), ("bare", golden.bare)):
            if not abs(sum(x * x for x in values) - 1) < 2 * LENGTH_TOLERANCE:
                yield f"golden_vectors.{i}.{name}: is not a unit vector"


def verify_vectors(adapter: Adapter, replay: Replay, *, trained: bool = True) -> None:
    """Compare the golden vectors with those of now. Not `trained`: the adapter leaves the vectors
    as the backbone has them, and has to. Raises `GoldenMismatch` or `AdapterError`."""
    goldens = adapter.manifest.golden_vectors
    pooled, bare = replay.vectors([golden.text for golden in goldens])
    same_width(adapter.name, "golden vectors have", len(goldens[0].vector), pooled.shape[1])
    now, now_bare = unit(pooled), unit(bare)
    then, then_bare = (np.array([getattr(g, name) for g in goldens]) for name in ("vector", "bare"))
    if trained:
        compare_numbers(adapter.name, now, now_bare, then, then_bare)
        return
    if effect(now, now_bare) >= MIN_EFFECT:
        raise GoldenMismatch(
            f"adapter {adapter.name!r} is the bare backbone by its manifest and moves its vectors; "
            "its files were changed: train it again, or copy it whole"
        )
    drift = float(np.linalg.norm(now - then, axis=1).max())
    if not drift <= MAX_DRIFT:
        raise GoldenMismatch(
            f"adapter {adapter.name!r} does not give the vectors it gave when it was made "
            f"(distance {drift:.3f}, allowed {MAX_DRIFT}); the backbone's graph changed: train or "
            "export again"
        )


def unit(vectors: Floats) -> Floats:
    """Each of [rows, hidden] at length 1; one of zeros stays."""
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled
