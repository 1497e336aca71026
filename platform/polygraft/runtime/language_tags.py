"""A language as whoever asks names it, and as the adapters name it: `EN`, `eng`, `en_US` and `en`.

Does not: guess. Another language of the same family, or another script, is another code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from langcodes import Language, standardize_tag
from langcodes.tag_parser import LanguageTagError


def served_code(code: str, served: Iterable[str]) -> str | None:
    """The one of the codes `served` that `code` (BCP 47, in any case, ISO 639-3 too) means: the
    same tag, else the same without region and variants, and without a script that the language is
    usually written in. None where none is served."""
    served = tuple(served)
    return code if code in served else _same_language(code, served)


@lru_cache(maxsize=4096)
def _same_language(code: str, served: tuple[str, ...]) -> str | None:
    by_tag = {tag: one for one in reversed(served) for tag in _tags(one)[:1]}
    return next((by_tag[tag] for tag in _tags(code) if tag in by_tag), None)


def _tags(code: str) -> list[str]:
    """`code` in its standard form, and what it can be narrowed to; nothing for what is no tag."""
    try:
        return list(dict.fromkeys(_narrowed(standardize_tag(code))))
    except LanguageTagError:
        return []


def _narrowed(tag: str) -> Iterator[str]:
    yield tag
    language = Language.get(tag)
    alone = Language.make(language=language.language)
    yield Language.make(language=language.language, script=language.script).to_tag()
    if language.script in (None, alone.maximize().script):
        yield alone.to_tag()
