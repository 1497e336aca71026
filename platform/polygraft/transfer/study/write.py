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

from polygraft.reporting.figures import show
from polygraft.reporting.plots import document, heat, intervals, table, text
from polygraft.reporting.results import markdown_table
from polygraft.transfer.study.figures import FEW_SHOT, METHODS, figures_of
from polygraft.transfer.study.plan import Study

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF",
    "tuned_tfidf": "TF-IDF, tuned",
    "lexical": "lexical part alone",
    "head": "linear head",
    "lora": "LoRA, target alone",
    "hybrid_alone": "hybrid, target alone",
    "tfidf_zero_shot": "TF-IDF, source rows",
    "head_zero_shot": "linear head, source rows",
    "zero_shot": "LoRA, source rows",
    "stack_kept": "trained on source language, kept",
    "stack": "... exchanged for the target's",
    "arithmetic": "source rows + target - source language",
    "head_mixed": "linear head, source and target rows",
    "parent": "LoRA, source then target",
    "hybrid": "**hybrid**, source and target rows",
    "few_tfidf": "TF-IDF",
    "few_tuned_tfidf": "TF-IDF, tuned",
    "few_lexical": "lexical part alone",
    "few_head": "linear head",
    "few_hybrid_alone": "hybrid, target alone",
    "few_head_mixed": "linear head, source and target rows",
    "few_parent": "LoRA, source then target",
    "few_hybrid": "**hybrid**, source and target rows",
}
GAINS = {
    "over_tfidf": "The hybrid on source and target rows, over tuned TF-IDF",
    "gain_from_transfer": "Gain from transfer: the hybrid on source and target rows, "
    "over the best of what had the target's rows alone",
    "gain_of_lora": "LoRA on source then target, over the best of what had the target's rows alone",
    "gain_from_stack": "Zero-shot with the language exchanged, over zero-shot without",
    "gain_from_arithmetic": "Zero-shot by task arithmetic, over zero-shot without",
    "few_over_tfidf": "Few rows a label: the hybrid on source and target rows, over tuned TF-IDF",
    "few_head_over_tfidf": "Few rows a label: a linear head on source and target rows, "
    "over tuned TF-IDF",
    "few_lora_over_tfidf": "Few rows a label: LoRA on source then target, over tuned TF-IDF",
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
    figures = figures_of(families) | {
        "sources": {f.name: f.source.language for f in study.families if f.name in families},
        "shots": study.shots,
        "backbone": next((record["backbone"] for record in families.values()), None),
    }
    numbers = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    written = {"study.json": numbers, "study.html": page(figures), "README.md": markdown(figures)}
    for name, content in written.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in written]


def page(figures: dict[str, Any]) -> str:
    """The figures, as `study.json` has them, as HTML."""
    parts = [f"<h1>{TITLE}</h1>"]
    parts += [f"<p>{text(paragraph)}</p>" for paragraph in _introduction(figures)]
    for section in _sections(figures):
        parts += [
            f"<h2>{text(section.title)}</h2>",
            section.draw(),
            table(section.head, section.rows),
        ]
    return document(TITLE, parts)


def markdown(figures: dict[str, Any]) -> str:
    """The figures as Markdown, without the drawings."""
    parts = [f"# {TITLE}", "Written by `polygraft study`; do not edit.", *_introduction(figures)]
    for section in _sections(figures):
        parts += [f"## {section.title}", markdown_table(section.head, section.rows)]
    return "\n\n".join(parts) + "\n"


def _introduction(figures: dict[str, Any]) -> list[str]:
    """Two paragraphs: what was measured, and how often the verdict is a false alarm."""
    sources = ", ".join(f"{name} from {language}" for name, language in figures["sources"].items())
    alarms = figures["false_alarms"]
    return [
        f"Macro-F1 in percent on test rows; {sources}; backbone {figures['backbone']}. Intervals "
        "are 95% bootstraps over rows and seeds. A verdict in brackets does not stay when all "
        "targets are tested together (Holm).",
        "The guard's false alarms: both sides are seeds of the same few-shot runs, drawn apart, on "
        "resampled rows. Of "
        f"{alarms['trials']} trials without a difference, {alarms['harms']} said harms "
        f"({100 * alarms['refused']:.1f}%) and "
        f"{alarms['helps']} helps.",
    ]


def _sections(figures: dict[str, Any]) -> Iterator[_Section]:
    targets = figures["targets"]
    yield _Section(
        "Mean gains over the targets",
        partial(
            intervals, {GAINS[key]: mean for key, mean in figures["means"].items()}, "macro-F1"
        ),
        ["gain", "targets", "mean [95% over targets]", "helps (Holm)", "harms (Holm)"],
        [
            [GAINS[key], str(mean["targets"]), show(mean), str(mean["helps"]), str(mean["harms"])]
            for key, mean in figures["means"].items()
        ],
    )
    yield _ladder("Ladder", targets, METHODS)
    for key, title in GAINS.items():
        gains = {name: target[key] for name, target in targets.items() if key in target}
        if gains:
            yield _Section(
                title,
                partial(intervals, gains, "macro-F1"),
                ["target", "gain", "over", "verdict"],
                [
                    [name, show(gain), NAMES[gain["over"]], _verdict(gain)]
                    for name, gain in gains.items()
                ],
            )
    yield _ladder(
        f"With {figures['shots']} rows a label: mean, standard deviation and worst of the draws",
        targets,
        FEW_SHOT,
    )


def _ladder(title: str, targets: dict[str, Any], methods: tuple[str, ...]) -> _Section:
    """A line a target, a column a method that was run on one of them."""
    ladders = {name: target["ladder"] for name, target in targets.items()}
    used = [method for method in methods if any(method in ladder for ladder in ladders.values())]
    columns = [NAMES[method] for method in used]
    rows, grid = list[list[str]](), list[list[float]]()
    for name, ladder in ladders.items():
        cells = [_figure(ladder.get(method)) for method in used]
        rows.append([name, str(targets[name]["rows"]), *cells])
        grid.append([ladder.get(method, {}).get("value", np.nan) for method in used])
    return _Section(
        title,
        lambda: heat(grid, list(targets), columns, "", "") if used else "",
        ["target", "rows", *columns],
        rows,
    )


def _figure(figure: dict[str, float] | None) -> str:
    spread = ""
    if figure and "sd" in figure:
        spread = f", SD {figure['sd']:.1f}, worst {figure['worst']:.1f}"
    return show(figure) + spread


def _verdict(gain: dict[str, Any]) -> str:
    """The verdict, in brackets where it does not stay when all targets are tested together."""
    verdict = str(gain["verdict"])
    return verdict if gain["holm"] == verdict else f"({verdict})"
