"""What the manifest of a language adapter adds: goldens with the sentence vector of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from polygraft.adapters.manifest import MAX_GOLDENS, GoldenInput, Manifest, Values

LENGTH_TOLERANCE = 0.01  # how far the length of a unit vector may be from 1


class GoldenVector(GoldenInput):
    """One input and its unit sentence vector: with the adapter when it was trained, and of the bare
    backbone."""

    vector: Values
    bare: Values


class LanguageManifest(Manifest):
    """`manifest.json` of a language adapter."""

    golden_field = "golden_vectors"

    task: Literal["language"] = "language"
    golden_vectors: list[GoldenVector] = Field(max_length=MAX_GOLDENS)

    def task_problems(self) -> Iterator[str]:
        lengths = {len(golden.vector) for golden in self.golden_vectors}
        for i, golden in enumerate(self.golden_vectors):
            if len(lengths) > 1 or len(golden.bare) != len(golden.vector) or not golden.vector:
                yield (
                    f"golden_vectors.{i}: vectors of {len(golden.vector)} and {len(golden.bare)} "
                    "values; all have the backbone's hidden size"
                )
                continue
            for name, values in (("vector", golden.vector), ("bare", golden.bare)):
                if not abs(sum(x * x for x in values) - 1) < 2 * LENGTH_TOLERANCE:
                    yield f"golden_vectors.{i}.{name}: is not a unit vector"
