from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.results import linked, markdown_table
from rating.serving import RatingManifest


def table(manifests: Sequence[RatingManifest]) -> list[str]:
    return [
        markdown_table(
            ["rating adapter", "loss"], [[linked(m), str(m.metrics["loss"])] for m in manifests]
        )
    ]
