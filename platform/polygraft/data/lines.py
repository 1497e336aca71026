"""Lines of a text file, as whoever wrote them meant them. Does not: open files."""

from __future__ import annotations


def split_lines(text: str) -> list[str]:
    """The lines of `text`, without what ends them; an empty one after the last line feed is none.

    Only a line feed ends a line. `str.splitlines` also cuts at U+0085, U+2028, U+2029, U+000B,
    U+000C and U+001C to U+001E, which stand inside texts and which JSON need not escape (RFC 8259,
    section 7).
    """
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
