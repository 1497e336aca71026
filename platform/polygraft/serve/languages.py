"""Which adapter translates what, and which language a text is in: what every translation API of the
service asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polygraft.errors import InvalidRow, PolygraftError, UnknownAdapter, UnknownLanguage, shortened
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, text_problem
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
    adapters: dict[tuple[str, str], str] = {}
    translators = [m for m in engine.manifests() if isinstance(m, TranslationManifest)]
    for manifest in sorted(translators, key=lambda m: (len(m.directions), m.name)):
        for source, target in manifest.directions:
            adapters.setdefault((source, target), manifest.name)
    return adapters


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
    problems = [text_problem(text) for text in texts]
    usable = [str(text) for text, problem in zip(texts, problems, strict=True) if problem is None]
    detections = iter(await detect(host, usable) if source is None else [])
    languages: list[str | PolygraftError] = []
    for problem in problems:
        if problem is not None:
            languages.append(InvalidRow(problem))
        elif source is not None:
            languages.append(source)
        else:
            detected = next(detections)
            languages.append(
                detected if isinstance(detected, PolygraftError) else detected[0].language
            )
    return languages


def route(
    engine: Engine,
    texts: Sequence[object],
    sources: Sequence[str | PolygraftError | None],
    target: str,
    search: Search,
    *,
    adapter: str | None = None,
    detected: bool = False,
) -> list[Row | PolygraftError]:
    """A row for each text, with the adapter that translates it from its language in `sources`; or
    the text's error.

    `detected`: the languages are guesses, and errors say so. A text already in the target language
    is an error of its own: to translate it would be to make something up.
    """
    adapters = directions(engine)
    rows: list[Row | PolygraftError] = []
    for text, source in zip(texts, sources, strict=True):
        if isinstance(source, PolygraftError):
            rows.append(source)
        elif problem := text_problem(text):
            rows.append(InvalidRow(problem))
        elif name := adapter or adapters.get((source or "", target)):
            rows.append(Row(name, str(text), source, target=target, search=search))
        else:
            rows.append(_no_adapter(source, target, list(adapters), detected))
    return rows


def _no_adapter(
    source: str | None, target: str, known: list[tuple[str, str]], detected: bool
) -> UnknownLanguage:
    if source == target:
        return UnknownLanguage(
            f"the text is in {shortened(target)} already; if it is not, send its language as the "
            "source"
        )
    guess = (
        "; the language was detected, and short texts are often taken for another: send it as the "
        "source"
        if detected
        else ""
    )
    listed = ", ".join(f"{a} to {b}" for a, b in sorted(known)) or "none yet"
    return UnknownLanguage(
        f"no adapter translates {shortened(source or '')} to {shortened(target)}; there are: "
        f"{listed}{guess}"
    )
