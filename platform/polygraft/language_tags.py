"""A language as whoever asks names it, and as the adapters name it: `EN`, `eng`, `en_US` and `en`;
and as a family of backbones names it: `swh_Latn` and `sw`.

Does not: guess. Another language of the same family, or another script, is another code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from langcodes import Language, standardize_tag
from langcodes.tag_parser import LanguageTagError


def served_code(code: str, served: Iterable[str]) -> str | None:
    """The one of the codes `served` that `code` (BCP 47, in any case, ISO 639-3 too) means: the
    same tag, else the same without region and variants, and without a script that the language is
    usually written in; else that of the macrolanguage whose standard form it is (`swh` for `sw`, or
    `sw` for `swh`). None where none is served."""
    served = tuple(served)
    return code if code in served else _same_language(code, served)


@lru_cache(maxsize=4096)
def _same_language(code: str, served: tuple[str, ...]) -> str | None:
    by_tag = dict[str, str]()
    for macro in (False, True):
        for one in served:
            for tag in _tags(one, macro=macro)[:1]:
                by_tag.setdefault(tag, one)
    wanted = [*_tags(code, macro=False), *_tags(code, macro=True)]
    return next((by_tag[tag] for tag in wanted if tag in by_tag), None)


def short_codes(families: Iterable[str]) -> dict[str, str]:
    """The code that requests give for each of a family's own (`swh_Latn`, `kas_Deva`), and that
    code of the family: ISO 639-1 where there is one, of the macrolanguage where CLDR has it stand
    for that (`arb` for `ar`); with the script where the family has the language in another too, and
    this is not the usual one (`ks-Deva`). Those that would share a code keep their own (`pes_Arab`
    and `prs_Arab`, which both are `fa`)."""
    languages = {code: _language(code) for code in families}
    scripts = Counter(one.language for one in languages.values() if one)
    short = dict[str, str]()
    for code, language in languages.items():
        if language is None or len(code) == 2:
            short[code] = code
        elif scripts[language.language] == 1:
            short[code] = str(language.language)
        else:
            short[code] = _without_usual_script(language).to_tag()
    shared = Counter(short.values())
    return {code if shared[one] > 1 else one: code for code, one in short.items()}


def _language(code: str) -> Language | None:
    """The language and script of a family's code, of the macrolanguage; None for what is no tag."""
    try:
        found = Language.get(standardize_tag(code, macro=True))
    except LanguageTagError:
        return None
    return Language.make(language=found.language, script=found.script)


def _tags(code: str, *, macro: bool) -> list[str]:
    """`code` in its standard form, of the `macro` language where it has one, and what that can be
    narrowed to; nothing for what is no tag."""
    try:
        return list(dict.fromkeys(_narrowed(standardize_tag(code, macro=macro))))
    except LanguageTagError:
        return []


def _narrowed(tag: str) -> Iterator[str]:
    language = Language.get(tag)
    yield _without_usual_script(language).to_tag()
    yield tag
    of_script = Language.make(language=language.language, script=language.script)
    yield of_script.to_tag()
    yield _without_usual_script(of_script).to_tag()


def _without_usual_script(language: Language) -> Language:
    alone = Language.make(language=language.language)
    if language.script != alone.maximize().script:
        return language
    return language.update_dict({"script": None})
