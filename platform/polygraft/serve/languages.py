"""Which language a text is in: what every translation API of the service asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polygraft.errors import InvalidRow, PolygraftError, UnknownAdapter, UnknownLanguage
from polygraft.runtime.rows import Row, text_problem
from polygraft.serve.answers import answer_rows
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import Classified, LabelScore
from polygraft.tasks.serving import MAX_CHARACTERS
from polygraft.tasks.translation.markup import plain

UNDETERMINED = "und"
"""What is answered where the language is none that the detector knows, or not certain (BCP 47)."""
OTHER = "other"
"""The detector's label for the languages that are none of its others."""
SHORT, LONG = 10, 30
"""Letters up to which a text counts as a word, and from which as a sentence."""
CERTAIN_OF_SHORT, CERTAIN_OF_LONG = 0.85, 0.7
"""The least score of a language that is answered; in between it falls with every letter.

With 0.5 for all, 16% of words in a language that the detector has a label for were taken for
another, and 26% of those in one that it has none for. Now it is 6% and 12%; of words in its own
languages 40% are told, 54% before (tests/bench/detection.py)."""


@dataclass(frozen=True)
class Detected:
    """A language and how sure of it the detector is, 0 to 1."""

    language: str
    confidence: float


async def detect(host: Host, texts: Sequence[str]) -> list[list[Detected] | PolygraftError]:
    """Likely languages of each text, likeliest first, each text on its own. Without a detector
    among the adapters, every text gets `UnknownLanguage`. Raises `Overloaded`."""
    detector = host.settings.detector
    answers = await answer_rows(
        host, [Row(detector, text, truncate=True, top_k=3) for text in texts]
    )
    return [_detected(a, text, detector) for a, text in zip(answers, texts, strict=True)]


def _detected(answer: object, text: str, detector: str) -> list[Detected] | PolygraftError:
    if isinstance(answer, Classified):
        return languages_of(answer.labels, text)
    if isinstance(answer, UnknownAdapter):
        return UnknownLanguage(
            f"no adapter {detector!r} tells languages apart here; send the source language"
        )
    assert isinstance(answer, PolygraftError)
    return answer


def certain_from(text: str) -> float:
    """The score from which the text is taken to be in a language: the fewer letters, the more."""
    letters = sum(character.isalpha() for character in text)
    length = min(1.0, max(0.0, (letters - SHORT) / (LONG - SHORT)))
    return CERTAIN_OF_SHORT - length * (CERTAIN_OF_SHORT - CERTAIN_OF_LONG)


def languages_of(labels: Sequence[LabelScore], text: str) -> list[Detected]:
    """The detector's labels of the text, likeliest first, as languages; `und` first where none is
    certain, with the chance that it is none of the others."""
    found = [
        Detected(UNDETERMINED if one.label == OTHER else one.label, one.score) for one in labels
    ]
    if found[0].language != UNDETERMINED and found[0].confidence < certain_from(text):
        named = [one for one in found if one.language != UNDETERMINED]
        rest = max(0.0, 1 - sum(one.confidence for one in named))
        found = [Detected(UNDETERMINED, rest), *named]
    return found


def source_of(detected: Sequence[Detected] | PolygraftError) -> str | PolygraftError:
    """The language to translate from, or the error that asks for it, or that there was."""
    if isinstance(detected, PolygraftError):
        return detected
    if detected[0].language != UNDETERMINED:
        return detected[0].language
    perhaps = ", ".join(
        f"{one.language} {100 * one.confidence:.0f}%"
        for one in detected
        if one.language != UNDETERMINED
    )
    return UnknownLanguage(
        f"the language of the text is not certain (perhaps {perhaps}); send it as the source"
    )


def without_markup(text: str) -> str:
    """The text of HTML, as far as one that is not too long reaches."""
    return plain(text[:MAX_CHARACTERS])


async def sources(
    host: Host, texts: Sequence[object], source: str | None, *, html: bool = False
) -> list[str | PolygraftError]:
    """The language of each text: `source` when given, else detected, of HTML by what would be
    translated; or the text's error. Raises `Overloaded`."""
    problems = [text_problem(text) for text in texts]
    usable = [
        without_markup(str(text)) if html else str(text)
        for text, problem in zip(texts, problems, strict=True)
        if problem is None
    ]
    detections = iter(await detect(host, usable) if source is None else [])
    languages: list[str | PolygraftError] = []
    for problem in problems:
        if problem is not None:
            languages.append(InvalidRow(problem))
        elif source is not None:
            languages.append(source)
        else:
            languages.append(source_of(next(detections)))
    return languages
