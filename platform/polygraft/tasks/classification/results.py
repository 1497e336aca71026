"""Classifiers in the results table of a library, and their gains from transfer. Runs without the
training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.figures import judged, show
from polygraft.reporting.results import linked, table_head, table_line
from polygraft.tasks.classification.manifest import ClassificationManifest

RUNGS = ("majority", "tfidf", "zero_shot", "target_only", "adapter")
COLUMNS = (
    "adapter|languages|split (rows)|majority|TF-IDF|zero-shot|target only|**adapter**|against "
    "TF-IDF|gain from transfer"
)


def table(manifests: Sequence[ClassificationManifest]) -> list[str]:
    """Markdown, one row an adapter."""
    lines = [table_head(COLUMNS), *(_row(m) for m in manifests)]
    if positive := [line for m in manifests if (line := _positive_row(m))]:
        lines += [
            "\nF1 of the `spam` label:\n",
            table_head("adapter|TF-IDF|**adapter**"),
            *positive,
        ]
    return lines


def _row(manifest: ClassificationManifest) -> str:
    metrics, ladder = manifest.metrics, manifest.metrics.get("ladder", {})
    where = f"{metrics['split']} ({metrics['rows']})" if ladder else "–"
    figures = [show(ladder.get(rung, {}).get("macro_f1")) for rung in RUNGS]
    return table_line(
        [
            linked(manifest),
            ", ".join(manifest.languages),
            where,
            *figures,
            show(metrics.get("over_tfidf")),
            judged(metrics.get("gain_from_transfer")),
        ]
    )


def _positive_row(manifest: ClassificationManifest) -> str:
    ladder = manifest.metrics.get("ladder", {})
    if "spam_f1" not in ladder.get("adapter", {}):
        return ""
    return table_line(
        [manifest.name, show(ladder["tfidf"]["spam_f1"]), show(ladder["adapter"]["spam_f1"])]
    )
