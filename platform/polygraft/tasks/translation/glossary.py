"""Terms that a translation keeps, or renders in given words.

A term is found in any case, composed or not, as whole words, with any white space between them; of
terms that overlap the longest counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidOption, shortened

Glossary = tuple[tuple[str, str], ...]
"""Terms with their renderings."""
LETTER = (
    r"[\w\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f"
    r"\u0951-\u0957\u0962\u0963]"
)
"""A character of a word; `\\w` leaves out combining marks."""
MAX_TERMS, MAX_TERM = 500, 200  # terms of a text, characters of a term or rendering


def read_glossary(given: Mapping[str, str] | None) -> Glossary:
    """The glossary of a request. Raises `InvalidOption` for one that cannot be kept to."""
    terms = list((given or {}).items())
    if len(terms) > MAX_TERMS:
        raise InvalidOption(f"the glossary has {len(terms):,} terms, at most {MAX_TERMS} are read")
    renderings: dict[str, tuple[str, str]] = {}
    for term, rendering in terms:
        for name, value in (("term", term), ("rendering", rendering)):
            if problem := _problem(value):
                raise InvalidOption(f"glossary: the {name} {shortened(value)} {problem}")
        other, other_rendering = renderings.setdefault(key_of(term), (term, rendering))
        if other_rendering != rendering:
            raise InvalidOption(
                f"glossary: {shortened(other)} and {shortened(term)} are one term, with the "
                f"renderings {shortened(other_rendering)} and {shortened(rendering)}; leave one out"
            )
    return tuple((term, rendering.strip()) for term, rendering in renderings.values())


def key_of(term: str) -> str:
    """By which a term is known, however it is written."""
    return " ".join(unicodedata.normalize("NFC", term).casefold().split())


@lru_cache(maxsize=64)
def renderings_of(glossary: Glossary) -> dict[str, str]:
    """The renderings by their terms' keys."""
    return {key_of(term): rendering for term, rendering in glossary}


@lru_cache(maxsize=64)
def term_pattern(glossary: Glossary) -> re.Pattern[str]:
    """Finds the terms of a glossary that has some."""
    forms = {unicodedata.normalize(form, term) for term, _ in glossary for form in ("NFC", "NFD")}
    words = [
        r"\s+".join(map(re.escape, form.split())) for form in sorted(forms, key=len, reverse=True)
    ]
    start, end = rf"(?:(?<!{LETTER})|(?!{LETTER}))", rf"(?:(?!{LETTER})|(?<!{LETTER}))"
    return re.compile(f"{start}(?:{'|'.join(words)}){end}", re.IGNORECASE)


def _problem(value: str) -> str | None:
    if not value.strip():
        return "is empty; leave the term out"
    if len(value) > MAX_TERM:
        return f"has {len(value):,} characters, at most {MAX_TERM} are read"
    if any(unicodedata.category(c) == "Cc" for c in value):
        return "has a line break or another control character; leave it out"
    return not_unicode(value)
