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
OTHER = "other"
"""The identifier's label for the languages that are none of its others."""
TEXTS, SHARE = 100, 0.2
"""Texts that are looked at, and the share of them that a language must have to be named."""
TAKEN_FOR, LEAD = {"pcm": "en"}, 3
"""A language that the identifier sees in texts of another, and how many times as many texts it must
have to be believed. Of 100 English headlines (MasakhaNEWS) it takes 46 for English, 48 for Nigerian
Pidgin; of 100 Pidgin ones 12 and 82."""


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
    doubt = settle_mistaken(counts)
    least = max(SHARE * len(sample), counts[OTHER])
    named = [
        code
        for code, count in counts.most_common()
        if count >= least and languages.problem_of(code) is None
    ]
    if not named:
        why = f"none of those that the adapter {DETECTOR} knows, {', '.join(known)}"
        return Guess("languages", UNKNOWN, why)
    share = sum(counts[code] for code in named)
    return Guess(
        "languages",
        ", ".join(named),
        f"{share} of {len(sample)} texts, by the adapter {DETECTOR}, which knows "
        f"{', '.join(known)}: another language may be taken for one of these{doubt}",
    )


def languages_problem(codes: str) -> str | None:
    """What is wrong with a list of codes, separated by commas; None for nothing."""
    problems = [languages.problem_of(code) for code in codes_of(codes)]
    return "; ".join(problem for problem in problems if problem) or None


def codes_of(codes: str) -> list[str]:
    """The codes in a list with commas."""
    return [code.strip() for code in codes.split(",")]


def settle_mistaken(counts: Counter[str]) -> str:
    """Count texts of a language that is seen in those of another to that other, unless they are
    many more; what to say of it, nothing where there are none."""
    doubt = ""
    for code, other in TAKEN_FOR.items():
        if 0 < counts[code] < LEAD * counts[other]:
            doubt = f"; {counts[code]} of them look like {code} too: write {code} if they are"
            counts[other] += counts.pop(code)
    return doubt
