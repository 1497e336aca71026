"""Embedding adapters in the results table of a library. Runs without the training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.figures import judged, show
from polygraft.reporting.results import linked, table_head, table_line
from polygraft.tasks.embedding.manifest import EmbeddingManifest

HEAD = """
Embedding: of each pair, whether one side is the nearest of all to the other; accuracy in percent,
both ways, with 95% bootstrap intervals over pairs. TF-IDF is over characters.

"""
COLUMNS = "adapter|languages|split (pairs)|TF-IDF|bare backbone|**adapter**|gain over the bare"


def table(manifests: Sequence[EmbeddingManifest]) -> list[str]:
    """Markdown, one row a pair of languages and split."""
    return [HEAD + table_head(COLUMNS), *(line for m in manifests for line in _rows(m))]


def _rows(manifest: EmbeddingManifest) -> list[str]:
    lines = []
    for split, scored in manifest.metrics.get("retrieval", {}).items():
        for languages, figures in scored.items():
            cells = [linked(manifest), languages, f"{split} ({figures['rows']})"]
            cells += [show(figures["rungs"].get(name)) for name in ("tfidf", "bare", "adapter")]
            lines.append(table_line([*cells, judged(figures.get("gain_over_bare"))]))
    return lines
