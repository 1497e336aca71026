"""Which language a text is taken to be in, by the detector's scores."""

import pytest

from polygraft.errors import UnknownLanguage
from polygraft.serve.languages import Detected, languages_of, source_of
from polygraft.serve.routes.libretranslate import _detected_out
from polygraft.tasks.classification.serving import LabelScore

SENTENCE = "the boats came back to the shore before the rain"


def found(text: str = SENTENCE, **scores: float) -> list[Detected]:
    return languages_of([LabelScore(label, score) for label, score in scores.items()], text)


def test_a_certain_language_is_the_source() -> None:
    detected = found(sw=0.9, yo=0.1)
    assert detected == [Detected("sw", 0.9), Detected("yo", 0.1)]
    assert source_of(detected) == "sw"


def test_unknown_is_an_answer() -> None:
    """Short texts were confidently taken for a language: "Bonjour" was German."""
    unsure = found(sw=0.4, yo=0.35, other=0.25)
    assert unsure == [
        Detected("und", pytest.approx(0.25)),
        Detected("sw", 0.4),
        Detected("yo", 0.35),
    ]
    asked = source_of(unsure)
    assert isinstance(asked, UnknownLanguage)
    assert "perhaps sw 40%, yo 35%" in str(asked)
    assert "send it as the source" in str(asked)


def test_a_language_that_the_detector_has_no_label_for() -> None:
    other = found(other=0.8, sw=0.15, yo=0.05)
    assert other[0] == Detected("und", 0.8)
    assert isinstance(source_of(other), UnknownLanguage)


@pytest.mark.parametrize(
    ("text", "score", "told"),
    [
        ("Hello", 0.6, False),  # as Hawaiian; /v1/translate went on from that
        ("Hola", 0.84, False),
        ("Il treno parte alle otto", 0.76, False),
        ("Habari", 0.99, True),
        (SENTENCE, 0.72, True),
        (SENTENCE, 0.65, False),
    ],
)
def test_one_word_needs_more_certainty_than_a_sentence(text: str, score: float, told: bool) -> None:
    """Issue 18: "Hello" was Hawaiian with 57.6, and was translated from it."""
    detected = found(text, haw=score, es=1 - score)
    assert (detected[0].language == "haw") is told
    assert isinstance(source_of(detected), UnknownLanguage) is not told


@pytest.mark.parametrize("best", [0.2455, 0.33335, 0.69, 0.9995])
def test_confidences_are_at_most_100_together(best: float) -> None:
    """Issue 18: "12345" was und 75.5, tr 24.5, id 16.6, yo 10.9."""
    second = (1 - best) / 2
    shown = [_detected_out(one) for one in found("12345", tr=best, id=second, yo=second)]
    assert sum(round(10 * one["confidence"]) for one in shown) <= 1000
