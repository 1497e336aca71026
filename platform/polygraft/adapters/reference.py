"""How an adapter is named in a request, a command or a file of the library:

    spam-sw                 the route of the name chooses the version
    spam-sw@champion        an alias
    spam-sw@46e174b8f99e    a version, or its beginning: `SHORTEST` digits at least

Does not: know which adapters there are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from polygraft.adapters.layout import VERSION
from polygraft.errors import InvalidOption, UnknownVersion

SHORTEST = 4
ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},12}}")


@dataclass(frozen=True)
class Reference:
    """A name, and what stands behind its @: an alias, a version or its beginning; None: nothing."""

    name: str
    at: str | None = None

    @classmethod
    def parse(cls, given: str) -> Reference:
        name, marked, at = given.partition("@")
        return cls(name, at if marked else None)


def is_alias(name: str) -> bool:
    """Whether it can be one: what could be the beginning of a version cannot."""
    return bool(ALIAS.fullmatch(name)) and not _BEGINNING.fullmatch(name)


def find_version(
    reference: Reference, aliases: Mapping[str, str], versions: Collection[str]
) -> str:
    """The version that `reference` means, of those there are. Raises `UnknownVersion`, or
    `InvalidOption` for a beginning that several have."""
    at = reference.at or ""
    if at in aliases:
        return aliases[at]
    if VERSION.fullmatch(at) and at in versions:
        return at
    begun = sorted(v for v in versions if _BEGINNING.fullmatch(at) and v.startswith(at))
    if len(begun) > 1:
        raise InvalidOption(
            f"{at!r} is the beginning of several versions of {reference.name!r}: "
            f"{', '.join(begun)}; give more of it"
        )
    if not begun:
        there = [*(f"{alias} ({version})" for alias, version in sorted(aliases.items()))]
        there += sorted(set(versions) - set(aliases.values()))
        raise UnknownVersion(reference.name, at, there)
    return begun[0]
