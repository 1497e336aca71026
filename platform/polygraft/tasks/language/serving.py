"""Language adapters: verified like others; they lie under a task adapter and answer nothing by
themselves. numpy only."""

from __future__ import annotations

import numpy as np

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder
from polygraft.errors import InvalidOption
from polygraft.runtime.rows import Row
from polygraft.tasks.goldens import compare_numbers, same_width
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.serving import Floats, Replay, RowPlan, ServedTask


class Language(ServedTask):
    """A row is refused: a language adapter lies under others."""

    manifest = LanguageManifest

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        raise InvalidOption(
            f"adapter {row.adapter!r} knows a language and no task; put it under one that answers: "
            f'"stack": ["{row.adapter}", "..."]'
        )

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        goldens = adapter.manifest.golden_vectors
        pooled, bare = replay.vectors([golden.text for golden in goldens])
        same_width(adapter.name, "golden vectors have", len(goldens[0].vector), pooled.shape[1])
        compare_numbers(
            adapter.name,
            _unit(pooled),
            _unit(bare),
            [g.vector for g in goldens],
            [g.bare for g in goldens],
        )


TASK = Language()


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
