"""Which adapter translates a text, or which two: a direction that none has goes through English,
where both halves are served and the request does not forbid it. What is of the class experimental
(`tasks.translation.quality`) is not chosen unless the request or the server allows it.

Does not: tell languages (see `languages`), or answer (see `translating`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from polygraft.adapters.manifest import Manifest
from polygraft.adapters.reference import Reference
from polygraft.architectures.conventions import Direction
from polygraft.errors import (
    ExperimentalDirection,
    InvalidRow,
    PolygraftError,
    SameLanguage,
    UnknownLanguage,
    shortened,
)
from polygraft.language_tags import served_code
from polygraft.runtime.rows import Row, text_problem
from polygraft.runtime.search import Search
from polygraft.tasks.translation.glossary import Glossary, key_of
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.quality import Quality, quality_of, through_english

PIVOT = "en"


@dataclass(frozen=True)
class Way:
    """The adapters that a text goes through, one or two, and the class of that."""

    adapters: tuple[str, ...]
    quality: Quality


Directions = Mapping[Direction, Way]


@dataclass(frozen=True)
class Wanted:
    """What a request wants of all of its texts. `detected`: their languages are guesses, and errors
    say so. `allow_experimental`: a way of that class may be chosen."""

    target: str
    search: Search
    adapter: str | None = None
    detected: bool = False
    pivot: bool = True
    html: bool = False
    key: str | None = None
    allow_experimental: bool = False
    glossary: Glossary = ()


@dataclass(frozen=True)
class PivotRoute:
    """A text in two steps: `first` writes it in English, `adapter` goes on to `target`."""

    first: Row
    adapter: str
    target: str
    search: Search

    def second(self, text: str) -> Row:
        """What is to be done with the English `text`, in which terms are rendered already."""
        renderings = {key_of(written): written for _, written in self.first.glossary}
        return replace(
            self.first,
            adapter=self.adapter,
            text=text,
            language=PIVOT,
            target=self.target,
            search=self.search,
            glossary=tuple((written, written) for written in renderings.values()),
        )


Route = Row | PivotRoute


def directions(manifests: Sequence[Manifest]) -> dict[Direction, Way]:
    """Of the adapters that are served, the one for each (source, target): of several, the one of
    the best class, then the one made for the fewest directions, then by name."""
    adapters: dict[Direction, Way] = {}
    translators = [m for m in manifests if isinstance(m, TranslationManifest)]
    for manifest in sorted(translators, key=lambda m: (len(m.directions), m.name)):
        for direction in manifest.directions:
            way = Way((manifest.name,), quality_of(manifest.metrics, direction))
            other = adapters.get(direction)
            if other is None or way.quality.rank < other.quality.rank:
                adapters[direction] = way
    return adapters


def targets(adapters: Directions) -> dict[str, dict[str, Quality]]:
    """The languages that each can be translated into, through English too, with the class of
    that."""
    written = sorted({target for _, target in adapters})
    reached: dict[str, dict[str, Quality]] = {}
    for source in sorted({source for source, _ in adapters}):
        ways = {target: _way(adapters, source, target) for target in written if target != source}
        reached[source] = {target: way.quality for target, way in ways.items() if way}
    return reached


def route(
    manifests: Sequence[Manifest],
    texts: Sequence[object],
    sources: Sequence[str | PolygraftError | None],
    wanted: Wanted,
) -> list[Route | PolygraftError]:
    """A route for each text from its language in `sources`, or the text's error. A text already in
    the target language is an error of its own: to translate it would be to make something up.

    Raises `UnknownLanguage` for a target that no adapter writes.
    """
    adapters = directions(manifests)
    target = wanted.target
    if not wanted.adapter:
        target = served_code(target, {target for _, target in adapters}) or ""
        if not target:
            raise UnknownLanguage(
                f"no adapter translates to {shortened(wanted.target)}; there are: "
                f"{_listed(adapters)}"
            )
    wanted = replace(wanted, target=target)
    return [
        source if isinstance(source, PolygraftError) else _route_of(text, source, wanted, adapters)
        for text, source in zip(texts, sources, strict=True)
    ]


def _route_of(
    text: object, source: str | None, wanted: Wanted, adapters: Directions
) -> Route | PolygraftError:
    if problem := text_problem(text):
        return InvalidRow(problem)
    named = Reference.parse(wanted.adapter or "")
    row = Row(
        named.name,
        str(text),
        source,
        target=wanted.target,
        search=wanted.search,
        html=wanted.html,
        version=named.at,
        key=wanted.key,
        glossary=wanted.glossary,
    )
    if wanted.adapter or source is None:
        return row
    source = served_code(source, {code for direction in adapters for code in direction}) or source
    row = replace(row, language=source)
    if source == wanted.target:
        return SameLanguage(
            f"the text is in {shortened(source)} already; if it is not, send its language as the "
            "source"
        )
    way = _way(adapters, source, wanted.target, pivot=wanted.pivot)
    if way is None:
        return _no_adapter(source, wanted, adapters)
    if way.quality is Quality.EXPERIMENTAL and not wanted.allow_experimental:
        return _experimental(source, wanted, way)
    row = replace(row, adapter=way.adapters[0])
    if len(way.adapters) == 1:
        return row
    first = replace(row, target=PIVOT, search=replace(wanted.search, n_best=1))
    return PivotRoute(first, way.adapters[1], wanted.target, wanted.search)


def _way(adapters: Directions, source: str, target: str, *, pivot: bool = True) -> Way | None:
    """The one of the better class of the adapter for the direction and, where it may, the way
    through English."""
    ways = [adapters[source, target]] if (source, target) in adapters else []
    first, second = adapters.get((source, PIVOT)), adapters.get((PIVOT, target))
    if first and second and pivot:
        quality = through_english(first.quality, second.quality)
        ways.append(Way((*first.adapters, *second.adapters), quality))
    return min(ways, key=lambda way: way.quality.rank, default=None)


def _experimental(source: str, wanted: Wanted, way: Way) -> ExperimentalDirection:
    through = f" through {PIVOT}" if len(way.adapters) > 1 else ""
    by_name = "" if through else f', or name its adapter: "adapter": "{way.adapters[0]}"'
    return ExperimentalDirection(
        f"{shortened(source)} to {shortened(wanted.target)}{through} is experimental: its "
        "translations are often wrong altogether. To get them all the same send "
        f'"allow_experimental": true{by_name}'
    )


def _no_adapter(source: str, wanted: Wanted, adapters: Directions) -> UnknownLanguage:
    hints = ""
    if _way(adapters, source, wanted.target):
        hints += f"; with pivot it would go through {PIVOT}"
    if wanted.detected:
        hints += (
            "; the language was detected, and short texts are often taken for another: send it as "
            "the source"
        )
    return UnknownLanguage(
        f"no adapter translates {shortened(source)} to {shortened(wanted.target)}; there are: "
        f"{_listed(adapters)}{hints}"
    )


def _listed(adapters: Directions) -> str:
    return ", ".join(f"{a} to {b}" for a, b in sorted(adapters)) or "none yet"
