"""The figures of `measure` as one self-contained HTML page: bars for languages, the learning curve, tables, examples."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}.bad{color:#666}"
)


def page(found: dict[str, Any], beside: dict[str, Any] | None = None) -> str:
    """HTML of one backbone's figures; `beside` are another's, drawn next to them."""
    parts = [f"<h1>{_text(found['backbone'])} <small>{found['fingerprint']}</small></h1>"]
    mean = found["sib200"]["low_resource_mean"]
    parts.append(
        "<h2>SIB-200, trained on English vectors, macro-F1</h2>"
        f"<p>Mean over low-resource languages, 5-fold: {mean['folds']}; each language's mean vector taken from its vectors: "
        f"{mean['centred']}</p>"
    )
    parts.append(_bars({n: {k: v["folds"] for k, v in f["sib200"]["scores"].items()} for n, f in _named(found, beside)}))
    parts.append("<h2>Retrieval accuracy into English, percent</h2>")
    parts.append(_bars({n: {k: v["to_english"] for k, v in f["retrieval"].items()} for n, f in _named(found, beside)}))
    if translation := found.get("translation"):
        parts.append("<h2>Translation, dev, chrF++</h2>")
        whose = [w for w in ("backbone", "copy", "alone") if any(w in v for v in translation.values())]
        parts.append(_bars({w: {k: v[w]["chrf++"] for k, v in translation.items() if w in v} for w in whose}))
        rows = [
            [k, *(v.get(w, {}).get(metric, "–") for metric in ("chrf++", "bleu") for w in whose)]
            for k, v in translation.items()
        ]
        parts.append(_table(["pair", *(f"{metric}, {w}" for metric in ("chrF++", "BLEU") for w in whose)], rows))
        parts.append("<p>copy: the source as it is. alone: a model of this size, from random weights, on that pair only.</p>")
        parts.append("<h3>Examples, good and bad</h3>")
        for pair, v in translation.items():
            lines = "".join(
                f"<li>{_text(e['source'])}<br><b>{_text(e['written'])}</b>"
                f"<br><span class=bad>{_text(e['reference'])}</span></li>"
                for e in v["examples"]
            )
            parts.append(f"<p>{pair}</p><ul>{lines}</ul>")
    columns = ["encoder", "decoder", "unknown_percent"]
    rows = [[k, *(v.get(c, "–") for c in columns)] for k, v in found["tokens_a_word"].items()]
    parts.append("<h2>Tokens a word</h2>" + _table(["language", "encoder", "decoder", "unknown, %"], rows))
    if text := found.get("text"):
        rows = [[k, v["sentences"], v["pairs"], v["tokens"]] for k, v in text.items()]
        parts.append("<h2>Text it may see</h2>" + _table(["language", "sentences", "pairs", "encoder tokens"], rows))
    if ablations := found.get("ablations"):
        measured = list(dict.fromkeys(name for scores in ablations["results"].values() for name in scores))
        rows = [[variant, *(scores.get(name, "–") for name in measured)] for variant, scores in ablations["results"].items()]
        parts.append(f"<h2>What each objective buys, {ablations['steps']} steps each</h2>" + _table(["", *measured], rows))
    if curves := found.get("learning_curves"):
        ends = {phase: curve[-1] for phase, curve in curves.items()}
        rows = [[k, e["step"], f"{e['tokens'] / 1e6:.1f}", f"{e['seconds'] / 3600:.2f}"] for k, e in ends.items()]
        parts.append("<h2>Training</h2>" + _table(["phase", "steps", "million tokens", "hours"], rows))
    for phase, curve in found.get("learning_curves", {}).items():
        parts.append(f"<h2>Learning curve, {_text(phase)}</h2>" + _curve(curve))
    body = "\n".join(parts)
    return f"<!doctype html><meta charset=utf-8><title>{_text(found['backbone'])}</title><style>{STYLE}</style>{body}\n"


def _named(found: dict[str, Any], beside: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    both = [found] if beside is None else [beside, found]
    return [(f"{f['backbone']} {f['fingerprint'][:6]}", f) for f in both]


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["".join(f"<th>{_text(h)}</th>" for h in head), *("".join(f"<td>{_text(c)}</td>" for c in row) for row in rows)]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _bars(series: dict[str, dict[str, float]]) -> str:
    figure, axes = _figure()
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    width = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        axes.bar([j + i * width for j in range(len(names))], [values.get(n, 0.0) for n in names], width, label=label)
    axes.set_xticks([j + 0.4 - width / 2 for j in range(len(names))], names, rotation=45, ha="right")
    axes.legend(frameon=False)
    return _svg(figure)


def _curve(log: Sequence[dict[str, float]]) -> str:
    figure, axes = _figure()
    for name in ("translate", "denoise", "masked", "distil", "contrast"):
        points = [(record["tokens"] / 1e6, record[name]) for record in log if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=name)
    axes.set_xlabel("million tokens of this run")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return _svg(figure)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "polygraft"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
