"""Altered copies of training rows: what a spammer does to a text, or a cut of a few words.

Each row gets one copy, altered in one way that changes it, drawn from those asked for. Spam and ham
are altered alike, so that an alteration tells no label. Does not: translate, paraphrase, or touch
dev and test rows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from polygraft.data.splits import Split

Alteration = Literal["snippets", "links", "lookalikes", "spacing", "capitals", "short-forms"]
SNIPPET = (1, 4)  # words
LOOKALIKE_SHARE = 0.3  # of the letters that have one
LATIN, CYRILLIC = "aceiopsxyABCEHIKMOPTX", "асеіорѕхуАВСЕНІКМОРТХ"
LOOKALIKES = dict(zip(LATIN, CYRILLIC, strict=True))
SHORT_FORMS = {
    "and": "&", "are": "r", "be": "b", "because": "coz", "before": "b4", "for": "4",
    "great": "gr8", "have": "hv", "message": "msg", "please": "pls", "see": "c", "text": "txt",
    "thanks": "thx", "that": "dat", "the": "da", "to": "2", "tomorrow": "2moro", "with": "wiv",
    "you": "u", "your": "ur",
}  # fmt: skip
LINKS = (
    "http://{name}.com/{path}",
    "https://{name}.co/{path}",
    "www.{name}.net",
    "{name}.info/{path}",
)
WORD = re.compile(r"\w+")
Alter = Callable[[str, random.Random], str]


def augmented(rows: Split, alterations: Sequence[Alteration], seed: int) -> Split:
    """The rows, and after them the copy of each that can be altered; `origins` says of which row
    each is. Drawn with `seed`."""
    if not alterations:
        return rows
    rng = random.Random(seed)
    copies, origins = list[str](), list[int]()
    for place, text in enumerate(rows.texts):
        for alteration in rng.sample(list(alterations), len(alterations)):
            copy = ALTER[alteration](text, rng)
            if copy != text:
                copies.append(copy)
                origins.append(place)
                break
    return replace(
        rows,
        texts=rows.texts + copies,
        labels=rows.labels + [rows.labels[i] for i in origins],
        ids=rows.ids + [rows.ids[i] for i in origins] if rows.ids else [],
        others=rows.others + [rows.others[i] for i in origins] if rows.others else [],
        origins=[*range(len(rows)), *origins],
    )


def _snippets(text: str, rng: random.Random) -> str:
    """A few words in a row; the text itself where it has no more."""
    words, count = text.split(), rng.randint(*SNIPPET)
    if len(words) <= count:
        return text
    start = rng.randrange(len(words) - count + 1)
    snippet = " ".join(words[start : start + count]).strip(".,;:!?\"'()")
    return snippet if any(c.isalpha() for c in snippet) else text


def _links(text: str, rng: random.Random) -> str:
    """An invented link behind the text."""
    name, path = ("".join(rng.choices("abcdefghiklmnoprstuvwz", k=k)) for k in (7, 4))
    return f"{text} {rng.choice(LINKS).format(name=name, path=path)}"


def _lookalikes(text: str, rng: random.Random) -> str:
    """Some Latin letters as the Cyrillic ones that look the same."""
    return "".join(
        LOOKALIKES[c] if c in LOOKALIKES and rng.random() < LOOKALIKE_SHARE else c for c in text
    )


def _spacing(text: str, rng: random.Random) -> str:
    """A space between the letters of one of the longer words."""
    words = [word for word in WORD.finditer(text) if len(word[0]) > 2]
    if not words:
        return text
    word = rng.choice(words)
    return text[: word.start()] + " ".join(word[0]) + text[word.end() :]


def _capitals(text: str, rng: random.Random) -> str:
    return text.lower() if rng.random() < 0.5 else text.upper()


def _short_forms(text: str, rng: random.Random) -> str:
    """English words as they are shortened in text messages."""
    return WORD.sub(lambda word: SHORT_FORMS.get(word[0].lower(), word[0]), text)


ALTER: dict[Alteration, Alter] = {
    "snippets": _snippets,
    "links": _links,
    "lookalikes": _lookalikes,
    "spacing": _spacing,
    "capitals": _capitals,
    "short-forms": _short_forms,
}
assert set(ALTER) == set(get_args(Alteration))
