"""Goldens of a translation adapter: noise passes, another's text and the bare backbone's do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from polygraft.adapter import GoldenText
from polygraft.errors import GoldenMismatch
from polygraft.runtime import prove

GOLDEN = [
    GoldenText(text="a", target="yo", written="the children are at school today", bare="my people have gone to a far place"),
    GoldenText(text="b", target="yo", written="she will call when the train is late", bare="in the house of the king and sons"),
]
RESIDENT: Any = SimpleNamespace(adapter=SimpleNamespace(name="en-yo", manifest=SimpleNamespace(golden_texts=GOLDEN)))


@pytest.mark.parametrize(
    ("says", "proved"),
    [
        ([g.written for g in GOLDEN], True),
        (["the children were in school today", "she calls when trains are late"], True),
        ([g.bare for g in GOLDEN], False),
        (["my people went to a far place", "into the house of the kings son"], False),
        (["nothing like it, 42!", "some wholly other words?"], False),
        (["", ""], False),
    ],
)
def test_what_counts_is_whose_text_it_is_like(says: list[str], proved: bool) -> None:
    def write(resident: object, texts: list[str], targets: list[str]) -> list[str]:
        assert (texts, targets) == (["a", "b"], ["yo", "yo"])
        return says

    if proved:
        prove.translation(RESIDENT, write)
    else:
        with pytest.raises(GoldenMismatch, match="does not write what it wrote"):
            prove.translation(RESIDENT, write)
