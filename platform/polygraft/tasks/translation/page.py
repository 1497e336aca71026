"""Translators in the HTML report: the figures of every direction, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polygraft.reporting.plots import bars, heat, intervals, text, value
from polygraft.reporting.results import NAMES, show
from polygraft.tasks.translation.results import RUNGS, directions


def answered(*_: object) -> dict[str, Any]:
    """Nothing: examples are in the manifest."""
    return {}


def overview(found: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    ways = [
        (f"{f['name']}: {way}", figures["rungs"])
        for f in found
        for way, figures in _last(f["metrics"])
    ]
    grid = [[value(rungs.get(r, {}).get("chrf++")) for r in RUNGS] for _, rungs in ways]
    return [
        "<h2>chrF++ by direction</h2>",
        heat(grid, [name for name, _ in ways], [NAMES[r] for r in RUNGS], "", ""),
    ]


def sections(one: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    parts = []
    for split, way, figures in directions(one["metrics"]):
        rungs = {NAMES[rung]: found["chrf++"] for rung, found in figures["rungs"].items()}
        parts += [
            f"<h3>{way}, {split}, {figures['rows']} sentences</h3>",
            intervals(rungs, "chrF++"),
        ]
        parts.append(
            bars({"BLEU": {NAMES[rung]: found["bleu"] for rung, found in figures["rungs"].items()}})
        )
        if gain := figures.get("gain_from_parent"):
            parts.append(f"<p>Gain from the parent: {show(gain)}: <b>{gain['verdict']}</b></p>")
        items = "".join(
            f"<li>{text(e['source'])}<br><b>{text(e['written'])}</b><br><span "
            f"class=bad>{text(e['reference'])}</span></li>"
            for e in figures["examples"]
        )
        parts.append(f"<ul>{items}</ul>")
    return parts


def _last(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Directions of the last split, test where there is one."""
    last = list(metrics["directions"])[-1]
    return [(way, figures) for split, way, figures in directions(metrics) if split == last]
