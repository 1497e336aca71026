"""What the manifest of a translator adds: its directions, and goldens with what was written for
each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Literal

import langcodes
from pydantic import Field

from polygraft.adapters.manifest import MAX_GOLDEN_CHARACTERS, MAX_GOLDENS, GoldenInput, Manifest
from polygraft.errors import shortened
from polygraft.tasks.translation.quality import Quality, name_of, quality_of


class GoldenText(GoldenInput):
    """One input in `source` and what was written for it in `target`: with the adapter when it was
    trained, and by the bare backbone. Manifests before version 0.3 do not say the source: backbones
    were not told."""

    source: str | None = None
    target: str
    written: str
    bare: str

    @property
    def key(self) -> Hashable:
        return self.text, self.target


class TranslationManifest(Manifest):
    """`manifest.json` of an adapter that writes text."""

    golden_field = "golden_texts"

    task: Literal["translation"] = "translation"
    directions: list[tuple[str, str]] = Field(
        min_length=1, max_length=1_000, description="source and target languages, as BCP 47 tags"
    )
    golden_texts: list[GoldenText] = Field(max_length=MAX_GOLDENS)

    def gains(self) -> dict[str, dict[str, Any]]:
        return {
            f"chrF++ {direction}, {split}": gain
            for split, direction, figures in directions(self.metrics)
            if (gain := figures.get("gain_from_parent"))
        }

    def qualities(self) -> dict[str, Quality]:
        """The class of each direction, by its name (see `quality`)."""
        return {
            name_of(direction): quality_of(self.metrics, direction) for direction in self.directions
        }

    def direction_of(self, golden: GoldenText) -> tuple[str, str] | None:
        """The direction in which a golden was translated; None where the adapter has none such."""
        return next(
            (
                direction
                for direction in self.directions
                if golden.source in (None, direction[0]) and golden.target == direction[1]
            ),
            None,
        )

    def task_problems(self) -> Iterator[str]:
        for code in dict.fromkeys(code for direction in self.directions for code in direction):
            if len(code) > 64 or not langcodes.tag_is_valid(code):
                yield (
                    f"directions: {shortened(code)} is not the code of a language (BCP 47, as in "
                    "en, haw or zh-Hant)"
                )
        if len(set(self.directions)) < len(self.directions):
            yield "directions: one is named twice"
        for i, golden in enumerate(self.golden_texts):
            if self.direction_of(golden) not in self.directions:
                source = f" from {shortened(golden.source)}" if golden.source else ""
                yield (
                    f"golden_texts.{i}: its target {shortened(golden.target)} is not one of the "
                    f"directions'{source}"
                )
            if max(len(golden.written), len(golden.bare)) > MAX_GOLDEN_CHARACTERS:
                yield (
                    f"golden_texts.{i}: what was written has more than "
                    f"{MAX_GOLDEN_CHARACTERS:,} characters"
                )


def directions(metrics: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Split, direction in words and figures of each that a translation adapter was scored on."""
    for split, scored in metrics.get("directions", {}).items():
        for direction, figures in scored.items():
            yield split, direction.replace("-", " to "), figures
