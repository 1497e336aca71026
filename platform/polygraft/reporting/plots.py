"""Plots and tables for the HTML pages: inline SVG, one style, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
    "1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .6rem;border-bottom:1px "
    "solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}.bad{color:#666}"
)
Series = Sequence[tuple[float, float]]


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page; `parts` are HTML."""
    body = "\n".join(parts)
    return (
        "<!doctype html><meta "
        f"charset=utf-8><title>{text(title)}</title><style>{STYLE}</style>{body}\n"
    )


def text(value: object) -> str:
    """A value as HTML shows it, escaped."""
    return html.escape(str(value))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [
        "".join(f"<th>{text(h)}</th>" for h in head),
        *("".join(f"<td>{text(c)}</td>" for c in row) for row in rows),
    ]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def translations(examples: Sequence[Mapping[str, Any]]) -> str:
    """A list of examples: `source`, what was `written`, and the `reference`."""
    items = (
        f"<li>{text(example['source'])}<br><b>{text(example['written'])}</b><br><span "
        f"class=bad>{text(example['reference'])}</span></li>"
        for example in examples
    )
    return f"<ul>{''.join(items)}</ul>"


def bars(series: Mapping[str, Mapping[str, float]]) -> str:
    """A group of bars for each name, one bar a series."""
    figure, axes = _figure()
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    width = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        axes.bar(
            [j + i * width for j in range(len(names))],
            [values.get(n, 0.0) for n in names],
            width,
            label=label,
        )
    axes.set_xticks(
        [j + 0.4 - width / 2 for j in range(len(names))], names, rotation=45, ha="right"
    )
    axes.legend(frameon=False)
    return _svg(figure)


def intervals(figures: Mapping[str, Mapping[str, Any]], unit: str) -> str:
    """A dot with its interval for each name: `{"value", "low", "high"}`."""
    figure, axes = _figure(height=0.6 + 0.4 * len(figures))
    from_below = list(figures.items())[::-1]
    for place, (_, interval) in enumerate(from_below):
        axes.plot([interval["low"], interval["high"]], [place, place], color="#888")
        axes.plot([interval["value"]], [place], "o", color="#1f77b4")
    axes.set_yticks(range(len(from_below)), [name for name, _ in from_below])
    axes.set_xlabel(unit)
    return _svg(figure)


def lines(series: Mapping[str, Series], x: str, y: str, *, diagonal: bool = False) -> str:
    """One line a series of (x, y) points; `diagonal` draws x = y."""
    figure, axes = _figure()
    for label, points in series.items():
        if points:
            axes.plot(
                *zip(*points, strict=True), label=label, marker="o" if len(points) < 20 else None
            )
    if diagonal:
        axes.plot([0, 1], [0, 1], color="#bbb", linestyle=":")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    return _svg(figure)


def heat(
    values: ArrayLike, rows: Sequence[str], columns: Sequence[str], down: str, across: str
) -> str:
    """A grid of numbers, darker where larger; NaN is left blank."""
    grid = np.asarray(values, float)
    figure, axes = _figure(height=1.2 + 0.4 * len(rows), width=min(9.0, 3.0 + 1.2 * len(columns)))
    axes.imshow(grid, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2 if np.isfinite(grid).any() else 0.0
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            axes.text(
                j,
                i,
                f"{round(value, 1):g}",
                ha="center",
                va="center",
                color="white" if value > middle else "black",
            )
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    return _svg(figure)


def value(figure: dict[str, float] | None) -> float:
    """A figure without its interval; not a number where there is none."""
    return figure["value"] if figure else float("nan")


def _figure(height: float = 3.2, width: float = 9.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "polygraft", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    xml = out.getvalue()
    return xml[xml.index("<svg") :]
