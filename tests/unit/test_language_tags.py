"""Languages are understood however their codes are written, and said as they are served."""

import pytest

from polygraft.language_tags import served_code, short_codes

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


def test_a_family_s_own_codes_are_understood() -> None:
    served = [
        "yo",
        "sw",
        "ar",
        "ary_Arab",
        "zh",
        "zh-Hant",
        "fil",
        "pes_Arab",
        "prs_Arab",
        "twi_Latn",
    ]
    asked = ("yor_Latn", "swh_Latn", "arb_Arab", "ary", "zho_Hant", "tl", "fa", "tw", "als_Latn")
    meant = ["yo", "sw", "ar", "ary_Arab", "zh-Hant", "fil", "pes_Arab", "twi_Latn", None]
    assert [served_code(code, served) for code in asked] == meant


def test_a_family_s_own_codes_are_said_as_requests_say_them() -> None:
    """NLLB's, of which two pairs share a code; M2M-100's and mBART's."""
    nllb = ["yor_Latn", "swh_Latn", "arb_Arab", "ary_Arab", "kor_Hang", "kas_Arab", "kas_Deva"]
    assert short_codes(nllb) == dict(
        zip(("yo", "sw", "ar", "ary", "ko", "ks", "ks-Deva"), nllb, strict=True)
    )
    shared = ["pes_Arab", "prs_Arab", "aka_Latn", "twi_Latn"]
    assert short_codes(shared) == {code: code for code in shared}
    assert short_codes(["tl", "ns", "en_XX", "zh_CN", "swh", "ceb"]) == {
        "tl": "tl",
        "ns": "ns",
        "en": "en_XX",
        "zh": "zh_CN",
        "sw": "swh",
        "ceb": "ceb",
    }
