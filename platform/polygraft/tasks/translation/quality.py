"""How far a direction's translations can be trusted, by one rule over the figures in the adapter's
manifest.

| class          | chrF++ at least | and above copying the source |
|----------------|-----------------|------------------------------|
| `usable`       | `USABLE`        | yes                          |
| `gist`         | `GIST`          | yes                          |
| `experimental` | else            |                              |

The figures are those on test rows, or on dev rows where there are none. Above copying: the lower
end of the adapter's 95% interval lies over the higher end of the copied source's. A direction
without figures is experimental. Nothing in a recipe or a manifest says another class.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from polygraft.architectures.conventions import Direction

USABLE, GIST = 45.0, 28.0
SPLITS = ("test", "dev")
"""Of whose figures the first counts that the direction has."""


class Quality(StrEnum):
    """Best first. `usable`: to be read over before it is published. `gist`: what a text is about.
    `experimental`: often wrong altogether."""

    USABLE = "usable"
    GIST = "gist"
    EXPERIMENTAL = "experimental"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(Quality).index(self)


def quality_of(metrics: Mapping[str, Any], direction: Direction) -> Quality:
    """The class of a direction by a manifest's `metrics`."""
    figures = _figures(metrics, direction)
    ours, copied = (_interval(figures.get(name)) for name in ("adapter", "copy"))
    if ours is None or copied is None or ours["low"] <= copied["high"] or ours["value"] < GIST:
        return Quality.EXPERIMENTAL
    return Quality.USABLE if ours["value"] >= USABLE else Quality.GIST


def through_english(first: Quality, second: Quality) -> Quality:
    """The class of two directions one after the other: the one below the worse of both, since no
    figure was measured for them together."""
    worse = max(first, second, key=lambda quality: quality.rank)
    return list(Quality)[min(worse.rank + 1, len(Quality) - 1)]


def name_of(direction: Direction) -> str:
    """As manifests name it: `en-yo`."""
    return "-".join(direction)


def _figures(metrics: Mapping[str, Any], direction: Direction) -> Mapping[str, Any]:
    """The baselines' scores by name, of the split that counts. A manifest may hold anything."""
    for split in SPLITS:
        figures: Any = metrics
        for key in ("directions", split, name_of(direction), "rungs"):
            figures = figures.get(key) if isinstance(figures, Mapping) else None
        if isinstance(figures, Mapping):
            return figures
    return {}


def _interval(scores: Any) -> dict[str, float] | None:
    """`value`, `low` and `high` of chrF++; None where they are not there."""
    chrf = scores.get("chrf++") if isinstance(scores, Mapping) else None
    if not isinstance(chrf, Mapping):
        return None
    numbers = {name: chrf.get(name) for name in ("value", "low", "high")}
    if not all(isinstance(number, int | float) for number in numbers.values()):
        return None
    return {name: float(number) for name, number in numbers.items() if number is not None}
