"""What the manifest of a classifier adds: its labels, and goldens with the logits of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from polygraft.adapters.layout import NAME
from polygraft.adapters.manifest import MAX_GOLDENS, GoldenInput, Manifest, Texts, Values
from polygraft.errors import shortened


class GoldenLogits(GoldenInput):
    """One input and the logits it got from the neural part: with the adapter when it was trained,
    and from its head on the bare backbone (for a head that was trained on the bare backbone: what
    it gives to no text, its bias)."""

    logits: Values
    bare: Values
    lexical: Values = Field([], description="logits of the lexical part, if there is one")


class ClassificationManifest(Manifest):
    """`manifest.json` of an adapter with a head."""

    golden_field = "golden"
    has_head = True

    task: Literal["classification"] = "classification"
    labels: Texts
    heads: dict[str, Texts] = Field(
        {}, max_length=100, description="multi-task: labels of its further heads, by task"
    )
    lexical: str | None = Field(
        None,
        max_length=100,
        description="how the features of the lexical part are made; none: it has no such part",
    )
    golden: list[GoldenLogits] = Field(max_length=MAX_GOLDENS)

    def task_problems(self) -> Iterator[str]:
        own = {"labels": self.labels}
        further = {f"heads.{head[:80]}": labels for head, labels in self.heads.items()}
        for name, labels in (own | further).items():
            if len(set(labels)) < len(labels):
                yield f"{name}: one is named twice"
            if any(not label.strip() or len(label) > 256 for label in labels):
                yield f"{name}: each has 1 to 256 characters"
            if len(labels) < 2:
                yield f"{name}: at least two labels are needed"
        for head in self.heads:
            if not NAME.fullmatch(head):
                yield f"heads: {shortened(head)} is not the name of a task"
        wanted = len(self.labels)
        for i, golden in enumerate(self.golden):
            if {len(golden.logits), len(golden.bare)} != {wanted}:
                yield (
                    f"golden.{i}: {len(golden.logits)} logits and {len(golden.bare)} bare for "
                    f"{wanted} labels"
                )
            if len(golden.lexical) != (wanted if self.lexical else 0):
                yield (
                    f"golden.{i}: {len(golden.lexical)} lexical logits for "
                    f"{wanted} labels{'' if self.lexical else ', and no lexical part'}"
                )
