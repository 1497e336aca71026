"""Which adapter translates a text, or which two: a direction that none has goes through English,
where both halves are served and the request does not forbid it.

Does not: tell languages (see `languages`), or answer (see `translating`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from polygraft.adapters.manifest import Manifest
from polygraft.adapters.reference import Reference
from polygraft.errors import (
    InvalidRow,
    PolygraftError,
    SameLanguage,
    UnknownLanguage,
    shortened,
)
from polygraft.language_tags import served_code
from polygraft.runtime.rows import Row, text_problem
from polygraft.runtime.search import Search
from polygraft.tasks.translation.manifest import TranslationManifest

PIVOT = "en"
Directions = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Wanted:
    """What a request wants of all of its texts. `detected`: their languages are guesses, and errors
    say so."""

    target: str
    search: Search
    adapter: str | None = None
    detected: bool = False
    pivot: bool = True
    html: bool = False
    key: str | None = None


@dataclass(frozen=True)
class PivotRoute:
    """A text in two steps: `first` writes it in English, `adapter` goes on to `target`."""

    first: Row
    adapter: str
    target: str
    search: Search

    def second(self, text: str) -> Row:
        """What is to be done with the English `text`."""
        return replace(
            self.first,
            adapter=self.adapter,
            text=text,
            language=PIVOT,
            target=self.target,
            search=self.search,
        )


Route = Row | PivotRoute


def directions(manifests: Sequence[Manifest]) -> dict[tuple[str, str], str]:
    """Of the adapters that are served, the one for each (source, target): of several, the one made
    for the fewest directions, then by name."""
    adapters: dict[tuple[str, str], str] = {}
    translators = [m for m in manifests if isinstance(m, TranslationManifest)]
    for manifest in sorted(translators, key=lambda m: (len(m.directions), m.name)):
        for source, target in manifest.directions:
            adapters.setdefault((source, target), manifest.name)
    return adapters


def targets(adapters: Directions) -> dict[str, list[str]]:
    """The languages that each can be translated into, through English too."""
    written = {target for _, target in adapters}
    reached = {
        source: sorted(
            target
            for target in written
            if target != source
            and ((source, target) in adapters or _halves(adapters, source, target))
        )
        for source, _ in adapters
    }
    return dict(sorted(reached.items()))


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
    if name := adapters.get((source, wanted.target)):
        return replace(row, adapter=name)
    halves = _halves(adapters, source, wanted.target)
    if halves and wanted.pivot:
        first = replace(
            row, adapter=halves[0], target=PIVOT, search=replace(wanted.search, n_best=1)
        )
        return PivotRoute(first, halves[1], wanted.target, wanted.search)
    return _no_adapter(source, wanted, adapters, can_pivot=halves is not None)


def _halves(adapters: Directions, source: str, target: str) -> tuple[str, str] | None:
    """The adapters into English and from it."""
    first, second = adapters.get((source, PIVOT)), adapters.get((PIVOT, target))
    return (first, second) if first and second else None


def _no_adapter(
    source: str, wanted: Wanted, adapters: Directions, *, can_pivot: bool
) -> UnknownLanguage:
    hints = ""
    if can_pivot:
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
