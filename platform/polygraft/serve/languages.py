"""Which adapter translates what, and which language a text is in: what every translation API of the
service asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidRow, PolygraftError, UnknownAdapter, UnknownLanguage, shortened
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.runtime.search import Search
from polygraft.serve.answers import answer_rows
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.translation.manifest import TranslationManifest


@dataclass(frozen=True)
class Detected:
    """A language and how sure of it the detector is, 0 to 1."""

    language: str
    confidence: float


def directions(engine: Engine) -> dict[tuple[str, str], str]:
    """The adapter for each (source, target): of several, the one made for the fewest directions,
    then by name."""
    found: dict[tuple[str, str], str] = {}
    translators = [m for m in engine.manifests() if isinstance(m, TranslationManifest)]
    for manifest in sorted(translators, key=lambda m: (len(m.directions), m.name)):
        for source, target in manifest.directions:
            found.setdefault((source, target), manifest.name)
    return found


async def detect(host: Host, texts: Sequence[str]) -> list[list[Detected] | PolygraftError]:
    """Likely languages of each text, likeliest first, each text on its own. Without a detector
    among the adapters, every text gets `UnknownLanguage`. Raises `Overloaded`."""
    detector = host.settings.detector
    answers = await answer_rows(
        host, [Row(detector, text, truncate=True, top_k=3) for text in texts]
    )
    return [_detected(a, detector) for a in answers]


def _detected(answer: object, detector: str) -> list[Detected] | PolygraftError:
    if isinstance(answer, Classified):
        return [Detected(x.label, x.score) for x in answer.labels]
    if isinstance(answer, UnknownAdapter):
        return UnknownLanguage(
            f"no adapter {detector!r} tells languages apart here; send the source language"
        )
    assert isinstance(answer, PolygraftError)
    return answer


async def sources(
    host: Host, texts: Sequence[object], source: str | None
) -> list[str | PolygraftError]:
    """The language of each text: `source` when given, else detected; or the text's error. Raises
    `Overloaded`."""
    problems = [problem_of(text) for text in texts]
    usable = [str(text) for text, problem in zip(texts, problems, strict=True) if problem is None]
    told = iter(await detect(host, usable) if source is None else [])
    found: list[str | PolygraftError] = []
    for problem in problems:
        if problem is not None:
            found.append(problem)
        elif source is not None:
            found.append(source)
        else:
            likely = next(told)
            found.append(likely if isinstance(likely, PolygraftError) else likely[0].language)
    return found


def problem_of(text: object) -> InvalidRow | None:
    """Why what stands in a text's place cannot be translated."""
    if not isinstance(text, str) or not text.strip():
        return InvalidRow(
            "the text is empty or not a string; send at least one character that is not white space"
        )
    problem = not_unicode(text)
    return InvalidRow(problem) if problem else None


def route(
    engine: Engine,
    texts: Sequence[object],
    known: Sequence[str | PolygraftError | None],
    target: str,
    search: Search,
    adapter: str | None = None,
    detected: bool = False,
) -> list[Row | PolygraftError]:
    """A row for each text in the language `known` for it, with the adapter that translates that; or
    the text's error.

    `detected`: the languages are guesses, and errors say so. A text already in the target language
    is an error of its own: to translate it would be to make something up.
    """
    there = directions(engine)
    found: list[Row | PolygraftError] = []
    for text, language in zip(texts, known, strict=True):
        if isinstance(language, PolygraftError):
            found.append(language)
        elif problem := problem_of(text):
            found.append(problem)
        elif name := adapter or there.get((language or "", target)):
            found.append(Row(name, str(text), language, target=target, search=search))
        else:
            found.append(_no_way(language, target, list(there), detected))
    return found


def _no_way(
    source: str | None, target: str, there: list[tuple[str, str]], detected: bool
) -> UnknownLanguage:
    guess = (
        "; the language was detected, and short texts are often taken for another: send it as the "
        "source"
        if detected
        else ""
    )
    if source == target:
        return UnknownLanguage(
            f"the text is in {shortened(target)} already; if it is not, send its language as the "
            "source"
        )
    ways = ", ".join(f"{a} to {b}" for a, b in sorted(there)) or "none yet"
    return UnknownLanguage(
        f"no adapter translates {shortened(source or '')} to {shortened(target)}; there are: "
        f"{ways}{guess}"
    )
