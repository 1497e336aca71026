"""Test splits that are too small to tell how good an adapter is. Does not: read rows, or compute
the intervals of figures (see `reporting/intervals.py`)."""

from __future__ import annotations

FEWEST = 30
"""Rows of a test from which figures are shown without a warning. With all of 30 right, the true
share may be 88%."""


def least_share(rows: int) -> float:
    """The share in percent that may be right in truth when all of `rows` are: the lower end of the
    exact 95% interval (Clopper & Pearson 1934)."""
    return float(100 * 0.025 ** (1 / rows))


def small_test(rows: int, split: str = "test") -> list[str]:
    """A sentence on a test of fewer than `FEWEST` rows."""
    if rows == 0:
        return [f"{split} has no rows, so nothing can be told of the adapter; give some"]
    if rows >= FEWEST:
        return []
    count = "1 row" if rows == 1 else f"{rows} rows"
    return [
        f"{split} has {count}, too few to tell how good the adapter is: even with all of them "
        f"right, the true share could be as low as {least_share(rows):.0f}%; give {FEWEST} rows at "
        "least, better 200"
    ]
