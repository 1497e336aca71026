"""Languages are understood however their codes are written, and said as they are served."""

import pytest

from polygraft.runtime.language_tags import served_code

SERVED = ("en", "fr", "haw", "sd", "yo", "zh-Hant", "pt-BR")


@pytest.mark.parametrize(
    ("code", "served"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en-US", "en"),
        ("en_gb", "en"),
        ("eng", "en"),
        ("en-Latn-US", "en"),
        ("en-US-x-private", "en"),
        ("FR", "fr"),
        ("fra", "fr"),
        ("HAW", "haw"),
        ("sd-Arab-PK", "sd"),
        ("zh-hant", "zh-Hant"),
        ("zh-Hant-TW", "zh-Hant"),
        ("pt-br", "pt-BR"),
        # another script, a region that is asked for, another language, no language
        ("sd-Deva", None),
        ("zh", None),
        ("zh-TW", None),
        ("pt", None),
        ("pt-PT", None),
        ("sw", None),
        ("", None),
        ("english", None),
        ("français", None),
        ("auto", None),
        ("\ud800", None),
        ("a" * 128, None),
    ],
)
def test_what_a_code_means(code: str, served: str | None) -> None:
    assert served_code(code, SERVED) == served


def test_the_closest_of_those_that_are_served_is_meant() -> None:
    assert served_code("pt-br", ["pt", "pt-BR"]) == "pt-BR"
    assert served_code("pt-PT", ["pt", "pt-BR"]) == "pt"


def test_what_is_served_need_not_be_a_tag() -> None:
    assert served_code("en", ["other", "EN"]) == "EN"
    assert served_code("other", ["other", "EN"]) == "other"
