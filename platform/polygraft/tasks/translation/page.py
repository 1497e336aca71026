"""Translators in the HTML report: the figures of every direction, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.reporting.figures import NAMES, show
from polygraft.reporting.plots import bars, heat, intervals, translations, value
from polygraft.runtime.engine import Engine
from polygraft.tasks.translation.manifest import TranslationManifest, directions
from polygraft.tasks.translation.results import RUNGS


def answered(engine: Engine, manifest: TranslationManifest, folder: Path) -> dict[str, Any]:
    """Nothing: examples are in the manifest."""
    return {}


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    names, grid = [], []
    for adapter in adapters:
        for direction, figures in _of_last_split(adapter["metrics"]):
            names.append(f"{adapter['name']}: {direction}")
            grid.append([value(figures["rungs"].get(r, {}).get("chrf++")) for r in RUNGS])
    return ["<h2>chrF++ by direction</h2>", heat(grid, names, [NAMES[r] for r in RUNGS], "", "")]


def sections(adapter: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    parts = []
    for split, direction, figures in directions(adapter["metrics"]):
        chrf = {NAMES[rung]: scores["chrf++"] for rung, scores in figures["rungs"].items()}
        bleu = {NAMES[rung]: scores["bleu"] for rung, scores in figures["rungs"].items()}
        parts += [
            f"<h3>{direction}, {split}, {figures['rows']} sentences</h3>",
            intervals(chrf, "chrF++"),
            bars({"BLEU": bleu}),
        ]
        if gain := figures.get("gain_from_parent"):
            parts.append(f"<p>Gain from the parent: {show(gain)}: <b>{gain['verdict']}</b></p>")
        parts.append(translations(figures["examples"]))
    return parts


def _of_last_split(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Directions and their figures on the last split, test where there is one."""
    last = next(reversed(metrics.get("directions", {})), None)  # none: it was imported
    return [
        (direction, figures) for split, direction, figures in directions(metrics) if split == last
    ]
