from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from polygraft.adapters.format import Adapter
from polygraft.adapters.manifest import GoldenInput, Manifest
from polygraft.architectures.text import TextEncoder
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks.goldens import compare_numbers
from polygraft.tasks.serving import Floats, Output, Replay, RowPlan, ServedTask, beginning


class GoldenRating(GoldenInput):
    rating: float
    bare: float


class RatingManifest(Manifest):
    golden_field = "golden_ratings"
    has_head = True

    task: Literal["rating"] = "rating"
    golden_ratings: list[GoldenRating]


@dataclass(frozen=True)
class Rated(Answer):
    rating: float

    def fields(self) -> dict[str, Any]:
        return {"rating": round(self.rating, 4)}

    summary = fields


class Rating(ServedTask):
    manifest = RatingManifest

    def read_head(
        self, manifest: RatingManifest, tensors: Mapping[str, Floats]
    ) -> tuple[Floats, Floats]:
        return tensors["weight"][0], tensors["bias"]

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        def answer(vectors: Sequence[Floats]) -> Rated:
            return Rated(
                adapter.name,
                adapter.version,
                float(_ratings(adapter, vectors[0][None])[0]),
                stack=stack,
            )

        return RowPlan([beginning(row)], Output.VECTOR, answer)

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        goldens = adapter.manifest.golden_ratings
        now, bare = (
            _ratings(adapter, vectors) for vectors in replay.vectors([g.text for g in goldens])
        )
        compare_numbers(
            adapter.name, now, bare, [g.rating for g in goldens], [g.bare for g in goldens]
        )


TASK = Rating()


def _ratings(adapter: Adapter, vectors: Floats) -> Floats:
    weight, bias = adapter.head
    ratings: Floats = vectors @ weight + bias
    return ratings
