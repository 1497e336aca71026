"""Language adapters in the results table of a library. Runs without the training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.reporting.results import linked, table_head, table_line
from polygraft.tasks.language.manifest import LanguageManifest

HEAD = """
Language adapters, which lie under others: loss a piece, in nats, of what the backbone's frozen
decoder writes of dev texts whose spans were cut, its own objective. Lower is better; trained on
masked tokens, a rise is what it forgot.

"""
COLUMNS = "adapter|languages|rows read|objective|bare|**adapter**"


def table(manifests: Sequence[LanguageManifest]) -> list[str]:
    """Markdown, one row an adapter."""
    return [HEAD + table_head(COLUMNS), *(_row(m) for m in manifests)]


def _row(manifest: LanguageManifest) -> str:
    rows = sum(source["rows"] or 0 for source in manifest.data)  # none: it was imported
    losses = manifest.metrics.get("denoising", {})
    return table_line(
        [
            linked(manifest),
            ", ".join(manifest.languages),
            str(rows or "–"),
            manifest.metrics.get("objective", "–"),
            *(f"{losses[name]:.3f}" if losses else "–" for name in ("bare", "adapter")),
        ]
    )
