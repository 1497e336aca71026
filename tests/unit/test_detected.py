from polygraft.errors import UnknownLanguage
from polygraft.serve.languages import Detected, languages_of, source_of
from polygraft.tasks.classification.serving import LabelScore


def found(**scores: float) -> list[Detected]:
    return languages_of([LabelScore(label, score) for label, score in scores.items()])


def test_a_certain_language_is_the_source() -> None:
    detected = found(sw=0.9, yo=0.1)
    assert detected == [Detected("sw", 0.9), Detected("yo", 0.1)]
    assert source_of(detected) == "sw"


def test_unknown_is_an_answer() -> None:
    """Short texts were confidently taken for a language: "Bonjour" was German."""
    unsure = found(sw=0.4, yo=0.35, other=0.25)
    assert unsure == [Detected("und", 0.6), Detected("sw", 0.4), Detected("yo", 0.35)]
    asked = source_of(unsure)
    assert isinstance(asked, UnknownLanguage)
    assert "perhaps sw 40%, yo 35%" in str(asked)
    assert "send it as the source" in str(asked)


def test_a_language_that_the_detector_has_no_label_for() -> None:
    other = found(other=0.8, sw=0.15, yo=0.05)
    assert other[0] == Detected("und", 0.8)
    assert isinstance(source_of(other), UnknownLanguage)
