"""Translators in the results table of a library, and their gains from transfer. Runs without the
training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.figures import judged, show
from polygraft.reporting.results import linked, table_head, table_line
from polygraft.tasks.translation.manifest import TranslationManifest, directions

RUNGS = ("copy", "from_scratch", "bare", "no_parent", "adapter")
HEAD = """
Translation: chrF++, greedy, with 95% bootstrap intervals over the sentences. From scratch is a
model of the backbone's size from random weights on the same pairs and steps; "no parent" is the
same recipe without it. Under an adapter with a stack, the bare backbone has that on it.

"""
COLUMNS = (
    "adapter|direction|split (rows)|copy|from scratch|bare backbone|no parent|**adapter**|gain "
    "from parent"
)


def table(manifests: Sequence[TranslationManifest]) -> list[str]:
    """Markdown, one row a direction and split."""
    return [HEAD + table_head(COLUMNS), *(line for m in manifests for line in _rows(m))]


def _rows(manifest: TranslationManifest) -> list[str]:
    lines = []
    for split, direction, figures in directions(manifest.metrics):
        cells = [linked(manifest), direction, f"{split} ({figures['rows']})"]
        cells += [show(figures["rungs"].get(rung, {}).get("chrf++")) for rung in RUNGS]
        lines.append(table_line([*cells, judged(figures.get("gain_from_parent"))]))
    return lines
