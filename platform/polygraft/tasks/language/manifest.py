"""What the manifest of a language adapter adds: goldens with the sentence vector of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from polygraft.adapters.manifest import MAX_GOLDENS, Manifest
from polygraft.tasks.vectors import GoldenVector, vector_problems


class LanguageManifest(Manifest):
    """`manifest.json` of a language adapter."""

    golden_field = "golden_vectors"

    task: Literal["language"] = "language"
    golden_vectors: list[GoldenVector] = Field(max_length=MAX_GOLDENS)

    def task_problems(self) -> Iterator[str]:
        yield from vector_problems(self.golden_vectors)
