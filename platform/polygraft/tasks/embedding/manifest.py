"""What the manifest of an embedding adapter adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from polygraft.adapters.manifest import MAX_GOLDENS, Manifest
from polygraft.tasks.vectors import GoldenVector, vector_problems

MAX_DIMENSIONS = 64  # lengths that a vector may be cut to


class EmbeddingManifest(Manifest):
    """`manifest.json` of an embedding adapter. `trained` is false where its vectors are those of
    the bare backbone."""

    golden_field = "golden_vectors"

    task: Literal["embedding"] = "embedding"
    trained: bool = True
    dimensions: list[int] = Field(
        max_length=MAX_DIMENSIONS,
        description="lengths that a vector may have, the whole one first",
    )
    golden_vectors: list[GoldenVector] = Field(max_length=MAX_GOLDENS)

    def task_problems(self) -> Iterator[str]:
        yield from vector_problems(self.golden_vectors)
        whole = {len(golden.vector) for golden in self.golden_vectors}
        if whole and (
            self.dimensions[:1] != list(whole)
            or any(not 1 <= one < max(whole) for one in self.dimensions[1:])
        ):
            yield (
                f"dimensions: {self.dimensions[:8]}; the first is the whole vector's, and the "
                "others are shorter"
            )

    def gains(self) -> dict[str, dict[str, Any]]:
        gains: dict[str, dict[str, Any]] = self.metrics.get("gains", {})
        return gains
