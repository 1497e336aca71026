"""Embedding adapters in the HTML report: what their vectors find, and what cutting costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.reporting.figures import show
from polygraft.reporting.plots import bars, table
from polygraft.runtime.engine import Engine
from polygraft.tasks.embedding.manifest import EmbeddingManifest


def answered(engine: Engine, manifest: EmbeddingManifest, folder: Path) -> dict[str, Any]:
    """Nothing: its figures are those of training."""
    return {}


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    return []


def sections(adapter: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    split, scored = list(adapter["metrics"]["retrieval"].items())[-1]
    names = list(next(iter(scored.values()))["rungs"])
    rows = [
        [languages, figures["rows"], *(show(figures["rungs"][name]) for name in names)]
        for languages, figures in scored.items()
    ]
    parts = [
        f"<p>Translations found on {split}, percent, both ways.</p>",
        table(["languages", "pairs", *names], rows),
    ]
    cut = {pair: f["dimensions"] for pair, f in scored.items() if len(f.get("dimensions", {})) > 1}
    if cut:
        parts += ["<p>Found by vectors cut to so many values.</p>", bars(cut)]
    return parts
