"""What the manifest of a tagger adds: its labels, how its tags say where spans begin and end, and
goldens with the emissions of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from polygraft.adapters.manifest import MAX_GOLDENS, GoldenInput, Manifest, Texts, Values
from polygraft.reporting.figures import NAMES
from polygraft.tasks.tagging.scheme import Scheme, tags_of_labels
from polygraft.tasks.tagging.words import WORDS

MAX_LABELS = 500
"""A chain takes time by the square of its tags."""


class GoldenTags(GoldenInput):
    """One input and the emissions of its words, row by row, [words, tags]: of the neural part with
    the adapter when it was trained, and of the head on the bare backbone (for a head that was
    trained on the bare backbone: what it gives to no state, its bias)."""

    neural: Values
    bare: Values
    lexical: Values = Field([], description="emissions of the lexical part, if there is one")


class TaggingManifest(Manifest):
    """`manifest.json` of an adapter that tags words."""

    golden_field = "golden_tags"
    has_head = True

    task: Literal["tagging"] = "tagging"
    labels: Texts = Field(description="of spans; without a scheme, the tags themselves")
    scheme: Scheme = Field(description="none: a tag a word")
    words: str = Field(WORDS, max_length=100, description="how a text is cut into words")
    lexical: str | None = Field(
        None,
        max_length=100,
        description="how the features of the lexical part are made; none: it has no such part",
    )
    window: Annotated[int, Field(ge=16, le=8192)] = Field(
        description="tokens it was trained to read at once; longer texts are read in several "
        "windows that overlap"
    )
    golden_tags: list[GoldenTags] = Field(max_length=MAX_GOLDENS)

    @property
    def tags(self) -> list[str]:
        """Every tag that a word may get, in the head's order."""
        return tags_of_labels(self.labels, self.scheme)

    def gains(self) -> dict[str, dict[str, Any]]:
        gain = self.metrics.get("gain_from_transfer")
        return {f"{self.metrics['metric']} against {NAMES[gain['over']]}": gain} if gain else {}

    def task_problems(self) -> Iterator[str]:
        if not 0 < len(self.labels) <= MAX_LABELS:
            yield f"labels: 1 to {MAX_LABELS} are needed, these are {len(self.labels)}"
        if len(set(self.labels)) < len(self.labels):
            yield "labels: one is named twice"
        if any(not label.strip() or len(label) > 256 for label in self.labels):
            yield "labels: each has 1 to 256 characters"
        if self.words != WORDS:
            yield (
                f"words: {self.words[:100]!r}, and this version cuts text as {WORDS!r} says; train "
                "it again"
            )
        for i, golden in enumerate(self.golden_tags):
            sizes = {len(golden.neural), len(golden.bare)}
            if self.lexical is not None:
                sizes.add(len(golden.lexical))
            if len(sizes) > 1 or 0 in sizes or len(golden.neural) % max(1, len(self.tags)):
                yield f"golden_tags.{i}: its emissions are not [words, {len(self.tags)}] each"
