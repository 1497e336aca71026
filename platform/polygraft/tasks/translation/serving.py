"""Translation: which direction a row means. The adapter has no head: the decoder's vocabulary is the backbone's."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.errors import InvalidRow

Direction = tuple[str, str]


def direction_of(directions: Sequence[Direction], source: str | None, target: str | None, adapter: str) -> Direction:
    """The one direction that fits. Raises `InvalidRow`, listing what there is, for none or several."""
    fitting = [d for d in directions if source in (None, d[0]) and target in (None, d[1])]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{a} to {b}" for a, b in directions)
    if fitting:
        raise InvalidRow(f"adapter {adapter!r} translates {there}; say which with source and target")
    asked = f"{source or 'any language'} to {target or 'any language'}"
    raise InvalidRow(f"adapter {adapter!r} does not translate {asked}; it translates {there}")
