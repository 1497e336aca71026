"""`study.json`, `study.html` and `README.md`: the figures of every family that was run so far, for
programs and for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.reporting.plots import document, heat, intervals, table, text
from polygraft.reporting.results import markdown_table, show
from polygraft.transfer.study.figures import FEW, LADDER, figures_of
from polygraft.transfer.study.plan import Study

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF",
    "head": "linear head",
    "lora": "LoRA, target alone",
    "tfidf_zero_shot": "TF-IDF, source rows",
    "head_zero_shot": "linear head, source rows",
    "zero_shot": "LoRA, source rows",
    "stack_kept": "trained on source language, kept",
    "stack": "... exchanged for the target's",
    "arithmetic": "source rows + target - source language",
    "head_mixed": "linear head, source and target rows",
    "parent": "LoRA, source then target",
    "few_tfidf": "TF-IDF",
    "few_head": "linear head",
    "few_head_mixed": "linear head, source and target rows",
    "few_parent": "LoRA, source then target",
}
GAINS = {
    "gain_from_transfer": "Gain from transfer: source then target, "
    "over the best of what had the target's rows alone",
    "gain_from_stack": "Zero-shot with the language exchanged, over zero-shot without",
    "gain_from_arithmetic": "Zero-shot by task arithmetic, over zero-shot without",
    "few_over_tfidf": "Few rows a label: source then target, over TF-IDF",
    "few_head_over_tfidf": "Few rows a label: a linear head on source and target rows, over TF-IDF",
}
TITLE = "Does transfer help?"


@dataclass(frozen=True)
class _Section:
    title: str
    draw: Callable[[], str]  # SVG; the Markdown has none
    head: list[str]
    rows: list[list[str]]


def write_results(study: Study, folder: Path) -> list[Path]:
    """Write all three beside the plan; returns the files."""
    records = {f.name: folder / f"{f.name}.json" for f in study.families}
    families = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in records.items()
        if file.is_file()
    }
    found = figures_of(families) | {
        "sources": {f.name: f.source.language for f in study.families if f.name in families},
        "shots": study.shots,
        "backbone": next((record["backbone"] for record in families.values()), None),
    }
    numbers = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    written = {"study.json": numbers, "study.html": page(found), "README.md": markdown(found)}
    for name, content in written.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in written]


def page(found: dict[str, Any]) -> str:
    """HTML of what `figures_of` gave."""
    parts = [f"<h1>{TITLE}</h1>", *(f"<p>{text(said)}</p>" for said in _said(found))]
    for section in _sections(found):
        parts += [
            f"<h2>{text(section.title)}</h2>",
            section.draw(),
            table(section.head, section.rows),
        ]
    return document(TITLE, parts)


def markdown(found: dict[str, Any]) -> str:
    """The same without the drawings."""
    parts = [f"# {TITLE}", "Written by `polygraft study`; do not edit.", *_said(found)]
    for section in _sections(found):
        parts += [f"## {section.title}", markdown_table(section.head, section.rows)]
    return "\n\n".join(parts) + "\n"


def _said(found: dict[str, Any]) -> list[str]:
    sources = ", ".join(f"{name} from {language}" for name, language in found["sources"].items())
    alarms = found["false_alarms"]
    return [
        f"Macro-F1 in percent on test rows; {sources}; backbone {found['backbone']}. Intervals are "
        "95% bootstraps over rows "
        "and seeds. A verdict in brackets does not stay when all targets are tested together "
        "(Holm).",
        "The guard's false alarms: both sides are seeds of the same few-shot runs, drawn apart, on "
        "resampled rows. Of "
        f"{alarms['trials']} trials without a difference, {alarms['harms']} said harms "
        f"({100 * alarms['refused']:.1f}%) and "
        f"{alarms['helps']} helps.",
    ]


def _sections(found: dict[str, Any]) -> Iterator[_Section]:
    targets = found["targets"]
    yield _ladder("Ladder", targets, LADDER)
    for gain, title in GAINS.items():
        there = {name: one[gain] for name, one in targets.items() if gain in one}
        if there:
            rows = [
                [name, show(one), NAMES[one["over"]], _verdict(one)] for name, one in there.items()
            ]
            yield _Section(
                title,
                partial(intervals, there, "macro-F1"),
                ["target", "gain", "over", "verdict"],
                rows,
            )
    yield _ladder(
        f"With {found['shots']} rows a label: mean, standard deviation and worst of the draws",
        targets,
        FEW,
    )


def _ladder(title: str, targets: dict[str, Any], rungs: tuple[str, ...]) -> _Section:
    used = [rung for rung in rungs if any(rung in one["ladder"] for one in targets.values())]
    grid = [
        [one["ladder"].get(rung, {}).get("value", np.nan) for rung in used]
        for one in targets.values()
    ]
    names = [NAMES[rung] for rung in used]
    rows = [
        [name, str(one["rows"]), *(_figure(one["ladder"].get(rung)) for rung in used)]
        for name, one in targets.items()
    ]
    return _Section(
        title,
        lambda: heat(grid, list(targets), names, "", "") if used else "",
        ["target", "rows", *names],
        rows,
    )


def _figure(figure: dict[str, float] | None) -> str:
    return show(figure) + (
        f", SD {figure['sd']:.1f}, worst {figure['worst']:.1f}" if figure and "sd" in figure else ""
    )


def _verdict(gain: dict[str, Any]) -> str:
    verdict = str(gain["verdict"])
    return verdict if gain["holm"] == verdict else f"({verdict})"
