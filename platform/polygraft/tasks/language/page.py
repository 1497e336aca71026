"""Language adapters in the HTML report: the backbone's own objective, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.reporting.plots import bars
from polygraft.runtime.engine import Engine
from polygraft.tasks.language.manifest import LanguageManifest


def answered(engine: Engine, manifest: LanguageManifest, folder: Path) -> dict[str, Any]:
    """Nothing: a language adapter answers nothing by itself."""
    return {}


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    losses = {a["name"]: a["metrics"]["denoising"] for a in adapters if "denoising" in a["metrics"]}
    if not losses:
        return []
    series = {
        kind: {name: loss[kind] for name, loss in losses.items()} for kind in ("bare", "adapter")
    }
    title = "<h2>Language adapters: the backbone's own objective on dev texts, nats a piece</h2>"
    return [title, bars(series)]


def sections(adapter: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    metrics = adapter["metrics"]
    if "objective" not in metrics:
        return ["<p>Imported, not scored here.</p>"]
    return [
        f"<p>Objective {metrics['objective']}, dev loss {metrics['dev_loss']} on {metrics['rows']} "
        "rows.</p>"
    ]
