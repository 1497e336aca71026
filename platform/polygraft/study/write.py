"""`study.json` and `study.html`: the figures of every family that was run so far, for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.plots import document, heat, intervals, table, text
from polygraft.report import show
from polygraft.study.figures import FEW, LADDER, figures_of
from polygraft.study.plan import Study

NAMES = {
    "majority": "majority label", "tfidf": "TF-IDF", "head": "linear head", "lora": "LoRA, target alone",
    "tfidf_zero_shot": "TF-IDF, source rows", "head_zero_shot": "linear head, source rows", "zero_shot": "LoRA, source rows",
    "stack_kept": "trained on source language, kept", "stack": "... exchanged for the target's",
    "arithmetic": "source rows + target - source language", "parent": "LoRA, source then target", "few_tfidf": "TF-IDF",
    "few_head": "linear head", "few_parent": "LoRA, source then target",
}  # fmt: skip
SECTIONS = {
    "gain_from_transfer": "Gain from transfer: source then target, over the best of what had the target's rows alone",
    "gain_from_stack": "Zero-shot with the language exchanged, over zero-shot without",
    "gain_from_arithmetic": "Zero-shot by task arithmetic, over zero-shot without",
    "few_over_tfidf": "Few rows a label: source then target, over TF-IDF",
}


def write_results(study: Study, folder: Path) -> list[Path]:
    """Write both beside the plan; returns the files."""
    records = {f.name: folder / f"{f.name}.json" for f in study.families}
    families = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in records.items() if file.is_file()}
    found = figures_of(families) | {
        "sources": {f.name: f.source.language for f in study.families if f.name in families}, "shots": study.shots,
        "backbone": next((record["backbone"] for record in families.values()), None),
    }  # fmt: skip
    written = [folder / "study.json", folder / "study.html"]
    written[0].write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written[1].write_text(page(found), encoding="utf-8")
    return written


def page(found: dict[str, Any]) -> str:
    """HTML of what `figures_of` gave."""
    targets, alarms = found["targets"], found["false_alarms"]
    sources = ", ".join(f"{name} from {language}" for name, language in found["sources"].items())
    parts = [
        "<h1>Does transfer help?</h1>",
        f"<p>Macro-F1 in percent on test rows; {text(sources)}; backbone {text(found['backbone'])}. Intervals are 95% "
        "bootstraps over rows and seeds. A verdict in brackets does not stay when all targets are tested together (Holm).</p>",
        "<h2>Ladder</h2>", _grid(targets, LADDER),
        f"<h2>With {found['shots']} rows a label</h2>", _grid(targets, FEW),
    ]  # fmt: skip
    for gain, title in SECTIONS.items():
        there = {name: one[gain] for name, one in targets.items() if gain in one}
        if there:
            parts += [f"<h2>{title}</h2>", intervals(there, "macro-F1"), _gains(there)]
    parts.append(
        f"<h2>The guard's false alarms</h2><p>Both sides seeds of the same few-shot runs, drawn apart, on resampled rows: of "
        f"{alarms['trials']} trials without a difference, {alarms['harms']} said harms ({100 * alarms['refused']:.1f}%) and "
        f"{alarms['helps']} helps.</p>"
    )
    parts += ["<h2>Every figure</h2>", table(["target", "rows", *(NAMES[r] for r in LADDER)], _rows(targets, _shown(LADDER)))]
    few = [f"{NAMES[r]}{extra}" for r in FEW for extra in ("", ", SD, worst")]
    parts.append(table(["target", "rows", *few], _rows(targets, _few)))
    return document("Does transfer help?", parts)


def _grid(targets: dict[str, Any], rungs: tuple[str, ...]) -> str:
    used = [rung for rung in rungs if any(rung in one["ladder"] for one in targets.values())]
    grid = [[one["ladder"].get(rung, {}).get("value", np.nan) for rung in used] for one in targets.values()]
    return heat(grid, list(targets), [NAMES[rung] for rung in used], "", "")


def _gains(there: dict[str, Any]) -> str:
    rows = [
        [name, show(gain), NAMES[gain["over"]], gain["verdict"] if gain["holm"] == gain["verdict"] else f"({gain['verdict']})"]
        for name, gain in there.items()
    ]
    return table(["target", "gain", "over", "verdict"], rows)


def _rows(targets: dict[str, Any], cells: Callable[[dict[str, Any]], list[str]]) -> list[list[object]]:
    return [[name, one["rows"], *cells(one["ladder"])] for name, one in targets.items()]


def _shown(rungs: tuple[str, ...]) -> Callable[[dict[str, Any]], list[str]]:
    return lambda ladder: [show(ladder.get(rung)) for rung in rungs]


def _few(ladder: dict[str, Any]) -> list[str]:
    found = [ladder.get(rung) for rung in FEW]
    return [cell for one in found for cell in (show(one), f"{one['sd']}, {one['worst']}" if one and "sd" in one else "–")]
