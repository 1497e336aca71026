"""Routes to translations: the first steps of those that go through English, then all that is left;
what went through English says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from polygraft.errors import PolygraftError
from polygraft.runtime.rows import Row
from polygraft.serve.answers import Answered, answer
from polygraft.serve.host import Host
from polygraft.serve.routing import PivotRoute, Route
from polygraft.tasks.translation.quality import through_english
from polygraft.tasks.translation.serving import Translated


@dataclass(frozen=True)
class Pivoted(Translated):
    """A translation of `first`, which is a translation itself."""

    first: Translated = field(kw_only=True)

    def fields(self) -> dict[str, Any]:
        steps = [f"{step.adapter}@{step.version}" for step in (self.first, self)]
        return super().fields() | {
            "source": self.first.source,
            "quality": through_english(self.first.quality, self.quality),
            "via": self.source,
            "steps": steps,
            "via_text": self.first.text,
            "cut": self.first.cut or self.cut or None,
        }

    def estimates(self) -> dict[str, Any]:
        """Of the second step, but not better than the first."""
        first, second = self.first.estimates(), super().estimates()
        if not first or not second:
            return second
        return second | {
            "estimate": min(first["estimate"], second["estimate"]),
            "check": first["check"] or second["check"],
        }


@dataclass(frozen=True)
class LastSteps:
    """What is left to be done for each text: its row, or its error; and what the first step wrote
    of those that had one. `seconds` are left of the request's time."""

    rows: list[Row | PolygraftError]
    firsts: list[Translated | None]
    seconds: float

    def joined(self, place: int, last: Answered) -> Answered:
        """The answer of the text at `place`, whose last step gave `last`."""
        first = self.firsts[place]
        if first is None or not isinstance(last, Translated):
            return last
        return Pivoted(**{f.name: getattr(last, f.name) for f in fields(Translated)}, first=first)


async def first_steps(host: Host, routes: Sequence[Route | PolygraftError]) -> LastSteps:
    """Write in English what goes through it. Raises `Overloaded`."""
    loop, timeout = asyncio.get_running_loop(), host.settings.timeout
    began = loop.time()
    pivots = [route.first for route in routes if isinstance(route, PivotRoute)]
    written = iter(await answer(host, pivots))
    rows: list[Row | PolygraftError] = []
    firsts: list[Translated | None] = []
    for route in routes:
        if not isinstance(route, PivotRoute):
            rows.append(route)
            firsts.append(None)
            continue
        first = next(written)
        if isinstance(first, Translated):
            rows.append(route.second(first.text))
            firsts.append(first)
        else:
            assert isinstance(first, PolygraftError)
            rows.append(first)
            firsts.append(None)
    return LastSteps(rows, firsts, timeout - (loop.time() - began))


async def translate(
    host: Host, routes: Sequence[Route | PolygraftError]
) -> tuple[list[Row | PolygraftError], list[Answered]]:
    """The row that gave each answer, and the answers, in order. Raises `Overloaded`."""
    steps = await first_steps(host, routes)
    answers = await answer(host, steps.rows, seconds=steps.seconds)
    return steps.rows, [steps.joined(place, last) for place, last in enumerate(answers)]
