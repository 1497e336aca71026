"""Values and problems in error messages, kept short: whoever writes a file must not decide how long the message is."""

from __future__ import annotations

from collections.abc import Sequence


def shown(value: object, most: int = 80) -> str:
    """`repr(value)`, of a long one the beginning."""
    text = repr(value[: most + 1]) if isinstance(value, str) else repr(value)
    return text if len(text) <= most + 2 else f"{text[:most]}..."


def listed(problems: Sequence[str], most: int = 5) -> str:
    """The first `most` problems, each cut at 300 characters, and how many more there are."""
    first = [p if len(p) <= 300 else f"{p[:300]}..." for p in problems[:most]]
    more = [f"and {len(problems) - most:,} more"] if len(problems) > most else []
    return "; ".join([*first, *more])
