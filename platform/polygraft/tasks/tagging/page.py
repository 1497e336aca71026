"""Taggers in the HTML report: the ladder, F1 by label, and held-out rows answered once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.adapters.layout import LAYOUT
from polygraft.reporting.figures import NAMES, show
from polygraft.reporting.plots import bars, heat, intervals, table, text, value
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.tagging.data import read_split
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.results import RUNGS
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.scheme import OUTSIDE, spans_of_tags
from polygraft.tasks.tagging.serving import Tagged

ROWS, EXAMPLES, CLIPPED = 200, 8, 240


def answered(engine: Engine, manifest: TaggingManifest, folder: Path) -> dict[str, Any]:
    """The first held-out rows, answered once more: those with a mistake, ready for JSON."""
    rows = read_split(folder / LAYOUT.recipe, manifest.metrics["split"])
    if rows is None:
        return {"data": "the recipe's data is not on this machine"}
    answers = engine.answer([Row(manifest.name, row.text) for row in rows[:ROWS]])
    both = [
        (row, {(tag.text, tag.label) for tag in answer.tags})
        for row, answer in zip(rows, answers, strict=False)
        if isinstance(answer, Tagged)
    ]
    wrong = [
        {
            "text": row.text[:CLIPPED],
            "wanted": _shown(_gold(row, manifest) - ours),
            "answered": _shown(ours - _gold(row, manifest)),
        }
        for row, ours in both
        if _gold(row, manifest) != ours
    ]
    return {"answered_rows": len(both), "wrong_rows": len(wrong), "wrong": wrong[:EXAMPLES]}


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    names = [f"{one['name']} ({one['metrics']['metric'].replace('_', ' ')})" for one in adapters]
    grid = [
        [value(m["ladder"].get(rung, {}).get(m["metric"])) for rung in RUNGS]
        for m in (one["metrics"] for one in adapters)
    ]
    return [
        "<h2>Tagging, by adapter</h2>",
        heat(grid, names, [NAMES[rung] for rung in RUNGS], "", ""),
    ]


def sections(adapter: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    metrics = adapter["metrics"]
    ladder = {
        NAMES[rung]: figures[metrics["metric"]] for rung, figures in metrics["ladder"].items()
    }
    named = metrics["metric"].replace("_", " ")
    parts = [
        f"<h3>Ladder, {metrics['split']}, {metrics['rows']} rows</h3>",
        intervals(ladder, f"{named}, 95% intervals"),
        f"<p>Against the CRF on hand features: {show(metrics['over_crf'])}</p>",
        "<h3>F1 of each label</h3>",
        bars({"adapter": metrics["by_label"]}),
    ]
    if "wrong" not in adapter:
        return [*parts, f"<p class=bad>{text(adapter['data'])}</p>"]
    cells = [[row["text"], row["wanted"], row["answered"]] for row in adapter["wrong"]]
    title = f"{adapter['wrong_rows']} of {adapter['answered_rows']} rows have a mistake"
    return [*parts, f"<h3>{title}</h3>", table(["text", "missed", "wrongly answered"], cells)]


def _gold(row: TaggedRow, manifest: TaggingManifest) -> set[tuple[str, str]]:
    """What stands in gold, as answers are given: text and label."""
    tags = row.word_tags(manifest.scheme)
    if manifest.scheme == "none":
        return set(zip(row.words, tags, strict=True))
    return {
        (_joined(row, span.first, span.end), span.label)
        for span in spans_of_tags(tags)
        if span.label != OUTSIDE
    }


def _joined(row: TaggedRow, first: int, end: int) -> str:
    """The words as they stand in the row's text: a space between two tokens."""
    written = ""
    for place in range(first, end):
        apart = place > first and row.places[place] != row.places[place - 1]
        written += (" " if apart else "") + row.words[place]
    return written


def _shown(tags: set[tuple[str, str]]) -> str:
    return ", ".join(f"{label}: {words}" for words, label in sorted(tags)) or "–"
