"""A matrix of similarities to look at: a page for browsers, which have letters of every script, or
a PNG."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polygraft.reporting.plots import document, text

KINDS = (".html", ".png")
LONGEST = 40  # characters of a text that is shown; the page shows all of it where one points
MAX_SHOWN = 200  # texts a side
BLUE = (8, 69, 148)
STYLE = (
    "<style>.map{overflow-x:auto}.map table{border-collapse:separate;border-spacing:2px}"
    ".map th{font-weight:400;font-size:.8rem;text-align:left;white-space:nowrap;border:0}"
    ".map thead th{height:11rem;vertical-align:bottom;padding:0}"
    ".map thead span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:11rem}"
    ".map td{border:0;text-align:center;font-size:.75rem;padding:.35rem;min-width:2.2rem}</style>"
)
Values = NDArray[np.floating]


def page(values: Values, rows: Sequence[str], columns: Sequence[str], title: str) -> str:
    """HTML: cosines [rows, columns], darker where larger."""
    head = "".join(f"<th title='{_whole(c)}'><span>{_label(c)}</span></th>" for c in columns)
    shares = _shares(values)
    lines = [
        f"<tr><th title='{_whole(row)}' dir=auto>{_label(row)}</th>"
        + "".join(
            f"<td style='{_style(share)}' title='{_whole(row)} · {_whole(column)}'>{value:.2f}</td>"
            for column, value, share in zip(columns, line, line_shares, strict=True)
        )
        + "</tr>"
        for row, line, line_shares in zip(rows, values, shares, strict=True)
    ]
    table = f"<table><thead><tr><th></th>{head}</tr></thead>{''.join(lines)}</table>"
    return document(
        title,
        [
            STYLE,
            f"<h1>{text(title)}</h1>",
            "<p>Cosine of the sentence vectors: 1 where two texts lie at the same place. Shades "
            "reach from the lowest to the highest value here.</p>",
            f"<div class=map>{table}</div>",
        ],
    )


def save_png(
    values: Values, rows: Sequence[str], columns: Sequence[str], title: str, file: Path
) -> None:
    """The same as a picture. Texts whose letters the font does not have, or that run from right to
    left, are numbered in place of being written."""
    from matplotlib.figure import Figure

    height, width = 2.5 + 0.35 * len(rows), 4 + 0.5 * len(columns)
    figure = Figure(figsize=(min(width, 40), min(height, 40)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(columns)), _drawable(columns), rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), _drawable(rows))
    axes.set_title(title)
    if max(values.shape) <= 30:
        for (i, j), share in np.ndenumerate(_shares(values)):
            axes.text(
                j,
                i,
                f"{values[i, j]:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if share > 0.6 else "black",
            )
    figure.savefig(file, format="png", dpi=120)


def _shares(values: Values) -> Values:
    """Where each value lies between the lowest and the highest, 0 to 1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-9)


def _style(share: float) -> str:
    red, green, blue = (round(255 - share * (255 - part)) for part in BLUE)
    return f"background:rgb({red},{green},{blue});color:{'#fff' if share > 0.6 else '#222'}"


def _label(one: str) -> str:
    return text(one if len(one) <= LONGEST else f"{one[: LONGEST - 1]}…")


def _whole(one: str) -> str:
    return text(one[:1_000])


def _drawable(texts: Sequence[str]) -> list[str]:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    letters = font.get_charmap()
    shown = list[str]()
    for place, one in enumerate(texts, 1):
        short = one if len(one) <= LONGEST else f"{one[: LONGEST - 1]}…"
        written = all(ord(c) in letters for c in short) and not any(
            unicodedata.bidirectional(c) in ("R", "AL") for c in short
        )
        shown.append(short.replace("$", r"\$") if written else f"text {place}")
    return shown
