"""Taggers in the results table of a library. Runs without the training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.figures import judged, show
from polygraft.reporting.results import linked, table_head, table_line
from polygraft.tasks.tagging.manifest import TaggingManifest

RUNGS = ("frequent", "crf", "head", "lexical", "zero_shot", "adapter")
HEAD = """
Tagging: entity F1 (seqeval, strict) of spans, accuracy of a tag a word, with 95% bootstrap
intervals over the sentences. CRF is a linear-chain CRF on hand features; head is a linear head and
a chain on the frozen backbone; lexical is the adapter's own part that reads letters and neighbours.

"""
COLUMNS = (
    "adapter|languages|split (rows)|figure|commonest tag|CRF|head|lexical|zero-shot|**adapter**|"
    "against CRF|gain from transfer"
)


def table(manifests: Sequence[TaggingManifest]) -> list[str]:
    """Markdown, one row an adapter."""
    return [HEAD + table_head(COLUMNS), *(_row(m) for m in manifests)]


def _row(manifest: TaggingManifest) -> str:
    metrics = manifest.metrics
    if not metrics:
        return table_line([linked(manifest), ", ".join(manifest.languages), *["–"] * 10])
    ladder, metric = metrics["ladder"], metrics["metric"]
    return table_line(
        [
            linked(manifest),
            ", ".join(manifest.languages),
            f"{metrics['split']} ({metrics['rows']})",
            metric.replace("_", " "),
            *(show(ladder.get(rung, {}).get(metric)) for rung in RUNGS),
            show(metrics.get("over_crf")),
            judged(metrics.get("gain_from_transfer")),
        ]
    )
