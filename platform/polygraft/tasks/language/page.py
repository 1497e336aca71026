"""Language adapters in the HTML report: the backbone's own objective, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polygraft.reporting.plots import bars


def answered(*_: object) -> dict[str, Any]:
    """Nothing: a language adapter answers nothing by itself."""
    return {}


def overview(found: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    losses = {f["name"]: f["metrics"]["denoising"] for f in found if "denoising" in f["metrics"]}
    series = {
        kind: {name: one[kind] for name, one in losses.items()} for kind in ("bare", "adapter")
    }
    title = "<h2>Language adapters: the backbone's own objective on dev texts, nats a piece</h2>"
    return [title, bars(series)] if losses else []


def sections(one: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    found = one["metrics"]
    return [
        f"<p>Objective {found['objective']}, dev loss {found['dev_loss']} on {found['rows']} "
        "rows.</p>"
    ]
