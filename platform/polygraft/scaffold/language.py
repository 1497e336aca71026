"""Which language texts are in, by the library's language identifier on the exported backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from polygraft.adapters.library import Library
from polygraft.data.reading import thinned
from polygraft.errors import PolygraftError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.scaffold.guess import Guess
from polygraft.tasks import languages
from polygraft.tasks.classification.serving import Classified

DETECTOR, UNKNOWN = "langid", "und"
TEXTS, SHARE = 100, 0.2
"""Texts that are looked at, and the share of them that a language must have to be named."""


def languages_of(texts: Sequence[str], library: Library, backbone: Path) -> Guess:
    """The codes of the languages that many of the `texts` are in, the commonest first, separated by
    commas; `und` where they cannot be told."""
    sample = thinned(texts, TEXTS)
    try:
        with closing(Engine(backbone)) as engine:
            known = engine.add(library.folder(DETECTOR)).languages
            answers = engine.answer([Row(DETECTOR, t, truncate=True, top_k=1) for t in sample])
    except (PolygraftError, OSError) as error:
        return Guess("languages", UNKNOWN, f"they could not be recognised ({error})")
    counts = Counter(answer.label for answer in answers if isinstance(answer, Classified))
    named = [
        code
        for code, count in counts.most_common()
        if count >= SHARE * len(sample) and languages.problem_of(code) is None
    ]
    if not named:
        why = f"none of those that the adapter {DETECTOR} knows, {', '.join(known)}"
        return Guess("languages", UNKNOWN, why)
    share = sum(counts[code] for code in named)
    return Guess(
        "languages",
        ", ".join(named),
        f"{share} of {len(sample)} texts, by the adapter {DETECTOR}, which knows "
        f"{', '.join(known)}: another language may be taken for one of these",
    )
