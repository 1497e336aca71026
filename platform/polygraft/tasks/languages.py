"""Codes of languages: whether one is as BCP 47 writes it, and which was meant."""

from __future__ import annotations

import langcodes


def problem_of(code: str) -> str | None:
    """Why `code` is not the tag of a language as BCP 47 writes it (RFC 5646: subtags of the
    registry, the shortest there is), and which to write; None where it is.

    Of two codes for a language that are both in use the one given stays (`tl`, `fil`).
    """
    if not langcodes.tag_is_valid(code):
        return f"{code!r} is no language code; {_meant(code)}"
    written = langcodes.Language.get(code, normalize=False).to_tag()
    shortest = langcodes.standardize_tag(code)
    if len(shortest.partition("-")[0]) == 2 < len(written.partition("-")[0]):
        written = shortest  # ISO 639-1 has a code of two letters
    return None if written == code else f"{code!r} is written {written!r} (BCP 47)"


def _meant(code: str) -> str:
    """What to write in place of `code`, which may be the name of a language or the code of a
    country."""
    country = langcodes.Language.make(territory=code.upper())
    try:
        language = langcodes.find(code)
    except LookupError:
        if country.territory_name().startswith("Unknown"):
            return "give one of ISO 639, such as 'sw' for Swahili, or 'und' where it is not known"
        language = langcodes.Language.make(language=country.maximize().language)
    return f"{language.display_name()} is {language.to_tag()!r}"
