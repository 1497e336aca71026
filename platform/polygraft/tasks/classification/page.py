"""Classifiers in the HTML report: the ladder, the learning curve, and the held-out rows answered
once more."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import LAYOUT
from polygraft.data.splits import Split
from polygraft.reporting.figures import NAMES, bounded, percent, show
from polygraft.reporting.plots import heat, intervals, lines, table, text, value
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification import coloured
from polygraft.tasks.classification.calibration import calibration
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.classification.tfidf import tfidf

EXAMPLES, CLIPPED = 8, 240


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    """HTML about several adapters together."""
    ladders = [adapter["metrics"]["ladder"] for adapter in adapters]
    rungs = [rung for rung in NAMES if any(rung in ladder for ladder in ladders)]
    grid = [[value(ladder.get(rung, {}).get("macro_f1")) for rung in rungs] for ladder in ladders]
    names = []
    for adapter in adapters:
        few = len(adapter["languages"]) < 4
        languages = f" ({', '.join(adapter['languages'])})" if few else ""
        names.append(f"{adapter['name']}{languages}")
    return [
        "<h2>Macro-F1 by adapter and language</h2>",
        heat(grid, names, [NAMES[rung] for rung in rungs], "", ""),
    ]


def sections(adapter: dict[str, Any]) -> list[str]:
    """HTML about one adapter."""
    parts = _from_manifest(adapter["metrics"]) + _decisions(adapter)
    if "confusion" not in adapter:
        return [*parts, f"<p class=bad>{text(adapter['data'])}</p>"]
    labels = adapter["labels"]
    parts += [
        "<h3>Confusion</h3>",
        heat(adapter["confusion"], labels, labels, "label", "answer"),
    ]
    if by_language := adapter.get("parts"):
        parts += _by_language(by_language)
    curves = {**adapter["metrics"].get("calibration", {}), "served": adapter["calibration"]}
    parts += _calibration(curves)
    parts += coloured.sections(adapter.get("explained", {}))
    for kind, rows in adapter.get("changed", {}).items():
        if rows:
            over = text(NAMES[adapter["metrics"]["gain_from_transfer"]["over"]])
            parts += [
                f"<h3>{len(rows)} rows that transfer {kind}, against {over}, in most seeds</h3>",
                table(["text", "label"], [[row["text"], row["label"]] for row in rows[:EXAMPLES]]),
            ]
    return parts + _against_tfidf(adapter.get("against_tfidf", {}))


def _from_manifest(metrics: dict[str, Any]) -> list[str]:
    """The figures of training: ladder, gain from transfer, learning curve."""
    ladder = {NAMES[rung]: figures["macro_f1"] for rung, figures in metrics["ladder"].items()}
    parts = [
        f"<h3>Ladder, {metrics['split']}, {metrics['rows']} rows</h3>",
        intervals(ladder, "macro-F1, 95% intervals"),
    ]
    if gain := metrics.get("gain_from_transfer"):
        over = NAMES[gain.get("over", "target_only")]
        parts.append(
            f"<p>Gain from transfer over {text(over)}: {show(gain)}: <b>{gain['verdict']}</b></p>"
        )
    if curve := metrics.get("curve"):
        series = {
            NAMES[rung]: [(p["shots"], p["value"]) for p in points]
            for rung, points in curve.items()
        }
        parts += [
            "<h3>Learning curve</h3>",
            lines(series, "rows a label (the last: all)", "macro-F1"),
        ]
    return parts


def _calibration(curves: dict[str, dict[str, Any]]) -> list[str]:
    """Reliability of the neural part `before` the parts were joined, of both `after`, and of what
    the engine answers (`served`)."""
    errors = ", ".join(f"{name} {curve['error']}" for name, curve in curves.items())
    series = {
        name: [(b["score"], b["right"]) for b in curve["bins"]] for name, curve in curves.items()
    }
    return [
        f"<h3>Calibration, error: {errors}</h3>",
        lines(series, "score", "share of right answers", diagonal=True),
    ]


def _decisions(adapter: dict[str, Any]) -> list[str]:
    """What each threshold gives, and the thresholds of the adapter's decisions."""
    parts, metrics = [], adapter["metrics"]
    for label, rows in metrics.get("precision_recall", {}).items():
        cells = [
            [f"{r['threshold']:g}", *(percent(r[of]) for of in ("precision", "recall", "decided"))]
            for r in rows
        ]
        head = ["score of at least", "precision", "recall", "rows decided"]
        parts += [f"<h3>{text(label)} by its score, percent</h3>", table(head, cells)]
    cells = []
    for name, decision in adapter.get("decide", {}).items():
        ((of, share),) = decision["target"].items()
        tested = metrics.get("decisions", {}).get(name, {})
        threshold = "–" if decision["threshold"] is None else f"{decision['threshold']:g}"
        found = decision["why"] or bounded(decision[of])
        wanted = f"{decision['label']}, {of} {share:g}"
        cells.append([name, wanted, threshold, found, bounded(tested.get(of))])
    if cells:
        head = ["decision", "wanted", "threshold", "held out", metrics["split"]]
        parts += ["<h3>Decisions, percent</h3>", table(head, cells)]
    return parts


def _by_language(by_language: dict[str, dict[str, Any]]) -> list[str]:
    kinds = [kind for kind in ("tfidf", "adapter") if kind in next(iter(by_language.values()))]
    grid = [[figures[kind] for kind in kinds] for figures in by_language.values()]
    names = [f"{name} ({figures['rows']})" for name, figures in by_language.items()]
    return [
        "<h3>Macro-F1 by language (rows)</h3>",
        heat(grid, names, [NAMES[kind] for kind in kinds], "", ""),
    ]


def _against_tfidf(differences: dict[str, dict[str, Any]]) -> list[str]:
    parts = []
    for kind, title in (
        ("fixed", "right, where TF-IDF is wrong"),
        ("broke", "wrong, where TF-IDF is right"),
    ):
        if difference := differences.get(kind):
            parts.append(f"<h3>{difference['rows']} rows {title}</h3>")
            columns = ["text", "label", "adapter", "tfidf"]
            if rows := [[e[column] for column in columns] for e in difference["examples"]]:
                parts.append(table(["text", "label", "adapter", "TF-IDF"], rows))
    return parts


def answered(engine: Engine, manifest: ClassificationManifest, folder: Path) -> dict[str, Any]:
    """What answering the held-out rows once more shows, ready for JSON."""
    recipe = folder / LAYOUT.recipe
    train, held_out = read_split(recipe, "train"), read_split(recipe, manifest.metrics["split"])
    if held_out is None:
        return {"data": "the recipe's data is not on this machine"}
    answers = engine.answer([Row(manifest.name, t, truncate=True) for t in held_out.texts])
    classified = {i: a for i, a in enumerate(answers) if isinstance(a, Classified)}
    ours = {i: a.label for i, a in classified.items()}
    gold, labels = [held_out.labels[i] for i in ours], list(ours.values())
    shown: dict[str, Any] = {
        "confusion": confusion(gold, labels, manifest.labels),
        "calibration": calibration(gold, labels, [a.score for a in classified.values()]),
        "explained": coloured.explained(engine, manifest, folder, (train, held_out), ours),
    }
    theirs = tfidf(train, held_out.texts) if train else None
    if theirs:
        shown["against_tfidf"] = _examples(held_out, ours, theirs)
    if parts := _parts(held_out, ours):
        shown["parts"] = {
            name: {"rows": len(rows)}
            | _macro_f1(held_out, rows, {"tfidf": theirs, "adapter": ours})
            for name, rows in parts.items()
        }
    gain = manifest.metrics.get("gain_from_transfer", {})
    if gain.get("over", "tfidf") != "tfidf" and len(held_out) == manifest.metrics["rows"]:
        shown["changed"] = {
            kind: [
                {"text": held_out.texts[i][:CLIPPED], "label": held_out.labels[i]}
                for i in gain.get(kind, [])
            ]
            for kind in ("fixed", "broke")
        }
    return shown


def _macro_f1(held_out: Split, rows: Sequence[int], answers: Mapping[str, Any]) -> dict[str, float]:
    """Of each kind of `answers` there is, on these rows."""
    gold = _at(held_out.labels, rows)
    return {
        kind: round(macro_f1(gold, _at(labels, rows)), 1)
        for kind, labels in answers.items()
        if labels
    }


def _parts(held_out: Split, answered: Container[int]) -> dict[str, list[int]]:
    """Answered rows of tables by their language: of a column of that name, or, a file each, what
    stands before the first dot of its name. Empty when there is but one. Rows of text with one
    label are left out: no macro-F1 can be had of them."""
    parts: dict[str, list[int]] = {}
    for i, row in enumerate(held_out.others):
        if i in answered and row:
            parts.setdefault(
                row.get("language") or Path(row["file"]).name.split(".")[0], []
            ).append(i)
    return parts if len(parts) > 1 else {}


def _at(values: Sequence[str] | Mapping[int, str], places: Sequence[int]) -> Any:
    return np.array([values[i] for i in places])


def confusion(
    gold: Sequence[str], answers: Sequence[str], labels: Sequence[str]
) -> list[list[int]]:
    """Rows with each label (down) that got each label (across)."""
    place = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), int)
    for right, answer in zip(gold, answers, strict=True):
        counts[place[right], place[answer]] += 1
    return counts.tolist()


def _examples(held_out: Split, ours: dict[int, str], theirs: Sequence[str]) -> dict[str, Any]:
    """Rows that TF-IDF on the target rows gets wrong and the adapter right, and the other way
    round."""
    rows: dict[str, list[dict[str, str]]] = {"fixed": [], "broke": []}
    for i, answer in ours.items():
        gold = held_out.labels[i]
        if (answer == gold) != (theirs[i] == gold):
            record = {
                "text": held_out.texts[i][:CLIPPED],
                "label": gold,
                "adapter": answer,
                "tfidf": theirs[i],
            }
            rows["fixed" if answer == gold else "broke"].append(record)
    return {
        kind: {"rows": len(records), "examples": records[:EXAMPLES]}
        for kind, records in rows.items()
    }
